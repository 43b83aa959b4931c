"""Turns a record into the answer for one reader. Only the requesting agent's answer carries a token."""

from __future__ import annotations

from typing import Final

from hitl_mcp.approvals.errors import ApprovalError, SealBroken
from hitl_mcp.approvals.models import IssuedToken, RequestKind, RequestRecord, RequestStatus, Verdict
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.approvals.terms import RuleVerdict
from hitl_mcp.interface.answers import ApprovalAnswer, ApprovalCount, DecisionAnswer
from hitl_mcp.interface.dialogue import (
    HumanAnswer,
    answer_of,
    human_answer,
    open_question_next_step,
    question_next_step,
    questions_of,
)

POLL_AFTER_SECONDS = 5

_RUN_IT: Final = "Call the executor's execute tool with capability_token. It runs this action once."
_RUN_AS_EDITED: Final = (
    "An approver changed the action: effective_action is what was approved, and not what you asked for. Read "
    "it, then call the executor's execute tool with capability_token alone. It runs effective_action once."
)


class ApprovalViews:
    """Makes answers. `public_url` is where people reach the review page."""

    def __init__(self, service: ApprovalService, *, public_url: str) -> None:
        self._service = service
        self._public_url = public_url.rstrip("/")

    def review_url(self, request_id: str) -> str:
        """The page where a person reviews this request."""
        return f"{self._public_url}/requests/{request_id}"

    async def for_agent(self, agent: str, record: RequestRecord) -> ApprovalAnswer:
        """The answer for the requesting agent, with a token collected now while it is approved.

        Raises SealBroken for an answer to a question that was changed from outside.
        """
        self._check(record)
        if record.request.status is not RequestStatus.APPROVED or record.request.agent != agent:
            return self._answer(record, next_step=_next_step(record))
        try:
            token = await self._service.collect_token(agent, record.request.request_id)
        except ApprovalError as error:
            # The state is worth knowing when there is no token any more; the reason says what to do.
            return self._answer(record, next_step=str(error))
        return self._answer(
            record,
            token=token,
            next_step=_RUN_AS_EDITED if record.request.revision else _RUN_IT,
        )

    def without_token(self, record: RequestRecord) -> ApprovalAnswer:
        """The answer for lists, and for people."""
        return self._answer(record, next_step=_next_step(record))

    def question(self, record: RequestRecord) -> HumanAnswer:
        """The answer about a question to people.

        Raises SealBroken for an answer that was changed from outside, ValueError for another request.
        """
        self._check(record)
        url = self.review_url(record.request.request_id)
        return human_answer(record, review_url=url, poll_after_seconds=POLL_AFTER_SECONDS)

    def _check(self, record: RequestRecord) -> None:
        if record.request.status is RequestStatus.ANSWERED and not self._service.answer_proven(record):
            raise SealBroken(record.request.request_id, "the stored answer is not one that was given here")

    def _answer(
        self, record: RequestRecord, *, next_step: str, token: IssuedToken | None = None
    ) -> ApprovalAnswer:
        request = record.request
        asked = request.verdict is RuleVerdict.ASK
        by_people = asked and record.received_approvals >= request.required_approvals
        return ApprovalAnswer(
            request_id=request.request_id,
            status=request.status,
            needs_approval=asked and not request.is_granted,
            auto_approved=request.status is RequestStatus.APPROVED and not by_people,
            risk_level=request.risk_level,
            action_digest=request.action_digest,
            policy=request.policy,
            explanation=request.explanation,
            approvals=ApprovalCount(required=request.required_approvals, received=record.received_approvals),
            decisions=decisions_of(record),
            effective_action=request.action.model_dump(mode="json") if request.revision else None,
            expires_at=request.expires_at,
            poll_after_seconds=POLL_AFTER_SECONDS if request.status is RequestStatus.PENDING else None,
            review_url=self.review_url(request.request_id),
            capability_token=token.token if token else None,
            token_expires_at=token.expires_at if token else None,
            kind=request.kind.shown,
            answer=answer_of(record) if self._service.answer_proven(record) else None,
            questions=questions_of(record),
            next_step=next_step,
        )


def decisions_of(record: RequestRecord) -> tuple[DecisionAnswer, ...]:
    """The decisions of a record as they are answered, oldest first."""
    return tuple(
        DecisionAnswer(
            verdict=decision.verdict,
            approver=decision.person,
            reason=decision.reason,
            conditions=decision.conditions,
            at=decision.decided_at,
            channel=decision.channel,
        )
        for decision in record.decisions
    )


def _next_step(record: RequestRecord) -> str:
    if record.request.drill_notice is not None:
        return record.request.drill_notice
    if record.request.kind is RequestKind.QUESTION:
        return question_next_step(record)
    if (asked := open_question_next_step(record)) is not None:
        return asked
    match record.request.status:
        case RequestStatus.PENDING:
            return (
                "People have been asked. Do not do the action yet: call check_status with this request_id "
                "until the status is final. Asking again for the same action returns this same request."
            )
        case RequestStatus.APPROVED:
            return "Call check_status with this request_id to collect the capability token."
        case RequestStatus.DENIED:
            if record.request.verdict is RuleVerdict.DENY:
                return (
                    f"Do not do the action. The rule {record.request.policy} refuses it: "
                    f"{record.request.explanation} Asking again for the same changes nothing."
                )
            reasons = [d.reason for d in record.decisions if d.verdict is Verdict.DENY and d.reason]
            because = f" The reason given: {reasons[0]}" if reasons else ""
            return f"Do not do the action. A person refused it.{because}"
        case RequestStatus.TIMEOUT:
            return "Do not do the action. Nobody decided in time; ask again if it is still wanted."
        case RequestStatus.CANCELLED:
            return "Do not do the action. The request was cancelled."
        case RequestStatus.ANSWERED:
            return "Do not do the action. It was answered, which approves nothing."
