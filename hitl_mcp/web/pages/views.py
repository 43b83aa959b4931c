"""What the templates show of a request: nothing but text that is already safe to look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hitl_contract.display import headline_of, render_action, safe_text
from hitl_mcp.approvals.models import Decision, RequestRecord, RequestStatus, Verdict
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.approvals.standing import standing_of
from hitl_mcp.web.pages.standing_views import StandingView, view_standing

_OUTCOMES = {
    RequestStatus.PENDING: "Waiting for a decision",
    RequestStatus.APPROVED: "Approved",
    RequestStatus.DENIED: "Denied",
    RequestStatus.TIMEOUT: "Timed out: nobody decided in time",
    RequestStatus.CANCELLED: "Cancelled",
    RequestStatus.ANSWERED: "Answered",
}


@dataclass(frozen=True)
class DecisionView:
    person: str
    approved: bool
    reason: str | None
    channel: str
    decided_at: datetime
    conditions: str | None
    acting_for: str | None
    counts: bool
    """Whether it is about the action as it stands, and not about an earlier wording."""


@dataclass(frozen=True)
class RequestView:
    """One request as one person sees it. `display_lines` is the deterministic rendering, whole."""

    request_id: str
    agent: str
    headline: str
    summary: str | None
    justification: str
    risk: str
    display_lines: tuple[str, ...]
    warnings: tuple[str, ...]
    action_digest: str
    display_digest: str
    status: str
    outcome: str
    pending: bool
    revoked: bool
    ended_by: str | None
    ended_reason: str | None
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    required_approvals: int
    received_approvals: int
    decisions: tuple[DecisionView, ...]
    decided_by_reader: bool
    version: int
    revision: int
    standing: StandingView


def view_request(record: RequestRecord, *, reader: str, now: datetime, listed: bool = False) -> RequestView:
    """What a page shows of a request at `now`; of one that is `listed` only the headline of its action."""
    request = record.request
    display = None if listed else render_action(request.action)
    return RequestView(
        request_id=request.request_id,
        agent=safe_text(request.agent),
        headline=headline_of(request.action) if display is None else display.headline,
        summary=safe_text(request.summary) if request.summary else None,
        justification=safe_text(request.justification, multiline=True),
        risk=request.risk_level.value,
        display_lines=() if display is None else tuple(display.text.removesuffix("\n").split("\n")),
        warnings=() if display is None else display.warnings,
        action_digest=request.action_digest,
        display_digest=request.display_digest if display is None else display.digest,
        status=request.status.value,
        outcome=_OUTCOMES[request.status],
        pending=request.status is RequestStatus.PENDING,
        revoked=request.revoked_at is not None,
        ended_by=safe_text(request.ended_by) if request.ended_by else None,
        ended_reason=safe_text(request.ended_reason, multiline=True) if request.ended_reason else None,
        created_at=request.created_at,
        expires_at=request.expires_at,
        decided_at=request.decided_at,
        required_approvals=request.required_approvals,
        received_approvals=record.received_approvals,
        decisions=tuple(
            DecisionView(
                person=safe_text(decision.person),
                approved=decision.verdict is Verdict.APPROVE,
                reason=safe_text(decision.reason, multiline=True) if decision.reason else None,
                channel=decision.channel,
                decided_at=decision.decided_at,
                conditions=safe_text(decision.conditions) if decision.conditions else None,
                acting_for=_acting_for(decision),
                counts=decision.revision == request.revision,
            )
            for decision in record.decisions
        ),
        decided_by_reader=any(person_key(each.person) == person_key(reader) for each in record.standing),
        version=request.version,
        revision=request.revision,
        standing=view_standing(standing_of(record, now)),
    )


def _acting_for(decision: Decision) -> str | None:
    if decision.verdict is Verdict.DENY or not decision.acted_as.acting_for:
        return None
    return safe_text(", ".join(each.person_id for each in decision.acted_as.acting_for))
