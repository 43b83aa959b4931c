"""What the templates show of a request: nothing but text that is already safe to look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hitl_contract.display import headline_of, render_action, safe_text
from hitl_mcp.approvals.models import RequestRecord, RequestStatus, Verdict

_OUTCOMES = {
    RequestStatus.PENDING: "Waiting for a decision",
    RequestStatus.APPROVED: "Approved",
    RequestStatus.DENIED: "Denied",
    RequestStatus.TIMEOUT: "Timed out: nobody decided in time",
    RequestStatus.CANCELLED: "Cancelled",
}


@dataclass(frozen=True)
class DecisionView:
    person: str
    approved: bool
    reason: str | None
    channel: str
    decided_at: datetime


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


def view_request(record: RequestRecord, *, reader: str, listed: bool = False) -> RequestView:
    """What a page shows of a request; of one that is `listed` only the headline of its action."""
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
            )
            for decision in record.decisions
        ),
        decided_by_reader=any(decision.person == reader for decision in record.decisions),
        version=request.version,
    )
