"""From a request's record to the card that channels show. Pure; every text that leaves here is inert."""

from __future__ import annotations

from datetime import datetime

from hitl_contract.display import render_action, safe_text
from hitl_mcp.approvals.deadlines import levels_reached
from hitl_mcp.approvals.human_questions import is_question, question_of
from hitl_mcp.approvals.models import ApprovalRequest, RequestKind, RequestRecord, RequestStatus, Verdict
from hitl_mcp.approvals.standing import asks_of, top_vote
from hitl_mcp.approvals.terms import RuleVerdict
from hitl_mcp.notifiers.base import Card, CardQuestion
from hitl_mcp.notifiers.text import shortened

_NAME_LIMIT = 80
_REASON_LIMIT = 500
_QUESTIONS_SHOWN = 2
_QUESTION_LIMIT = 200
_RULE_LIMIT = 200
CHOICES_IN_CHAT = 10


def name_of(text: str) -> str:
    """A person's or an agent's name as one short inert line."""
    return shortened(safe_text(text), _NAME_LIMIT)


def build_card(record: RequestRecord, *, review_url: str, nonce: str, now: datetime | None = None) -> Card:
    """The card of `record` as it stands; at `now`, where who is asked depends on it."""
    request = record.request
    reasons = [decision.reason for decision in record.decisions if decision.reason] or [request.ended_reason]
    reason = request.drill_notice or (reasons[-1] if request.status.is_terminal else None)
    display = render_action(request.action)
    approved_by = tuple(
        name_of(decision.person) for decision in record.standing if decision.verdict is Verdict.APPROVE
    )
    return Card(
        request_id=request.request_id,
        version=request.version,
        status=request.status,
        agent=name_of(request.agent),
        risk_level=request.risk_level,
        justification=safe_text(request.justification, multiline=True),
        summary=None if request.summary is None else safe_text(request.summary),
        display=display,
        action_digest=request.action_digest,
        created_at=request.created_at,
        expires_at=request.expires_at,
        review_url=review_url,
        required_assurance=request.required_assurance,
        nonce=nonce,
        approvals_required=request.required_approvals,
        approved_by=approved_by,
        decided_by=_decided_by(record, approved_by),
        reason=None if reason is None else shortened(safe_text(reason, multiline=True), _REASON_LIMIT),
        revoked=request.revoked_at is not None,
        escalated_to=() if now is None else escalated_to(request, now),
        kind=request.kind.shown,
        rule=_rule(record),
        risk_reason=_risk_reason(request),
        edited_by=name_of(record.revisions[-1].editor) if request.revision and record.revisions else None,
        reason_required=request.terms.reason_required,
        questions=_questions(record),
        choices=() if display.warnings else _choices(request),
    )


def escalated_to(request: ApprovalRequest, now: datetime) -> tuple[str, ...]:
    """The names of groups and people that the levels of escalation reached by `now` have added, each once."""
    if request.status is not RequestStatus.PENDING:
        return ()
    reached = levels_reached(request, now)
    return tuple(dict.fromkeys(name_of(each) for level in reached for each in (*level.groups, *level.people)))


def _rule(record: RequestRecord) -> str | None:
    request = record.request
    if request.kind is RequestKind.QUESTION or request.verdict is not RuleVerdict.ASK:
        return None
    given = f"{record.received_approvals} of {request.required_approvals} so far"
    seconds = request.terms.minimum_review_seconds
    look = f" after a look of {seconds} s" if seconds else ""
    return shortened(safe_text(f"{request.policy} asks {asks_of(request.terms)}{look}; {given}"), _RULE_LIMIT)


def _risk_reason(request: ApprovalRequest) -> str | None:
    top = top_vote(request.assessment.votes) if request.assessment else None
    return shortened(safe_text(top.reason), _RULE_LIMIT) if top else None


def _choices(request: ApprovalRequest) -> tuple[str, ...]:
    """The choices of a question, where each is plain and no two can be taken for one another."""
    if request.kind is not RequestKind.QUESTION or not is_question(request.action):
        return ()
    choices = question_of(request.action).choices
    plain = all(safe_text(each) == each == " ".join(each.split()) for each in choices)
    distinct = len({each.casefold() for each in choices}) == len(choices)
    return choices if plain and distinct and len(choices) <= CHOICES_IN_CHAT else ()


def _questions(record: RequestRecord) -> tuple[CardQuestion, ...]:
    return tuple(
        CardQuestion(
            name_of(each.asked_by),
            shortened(safe_text(each.question), _QUESTION_LIMIT),
            None if each.answer is None else shortened(safe_text(each.answer), _QUESTION_LIMIT),
        )
        for each in record.questions[-_QUESTIONS_SHOWN:]
    )


def _decided_by(record: RequestRecord, approved_by: tuple[str, ...]) -> tuple[str, ...]:
    request = record.request
    match request.status:
        case RequestStatus.PENDING:
            return ()
        case RequestStatus.APPROVED if approved_by:
            return approved_by
        case RequestStatus.DENIED if record.decisions:
            return tuple(
                name_of(decision.person) for decision in record.decisions if decision.verdict is Verdict.DENY
            )
        case _:
            return () if request.ended_by is None else (name_of(request.ended_by),)
