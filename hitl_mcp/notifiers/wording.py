"""The sentences that all channels share, so that a person meets the same words everywhere."""

from __future__ import annotations

from datetime import datetime

from hitl_mcp.approvals.models import RequestStatus
from hitl_mcp.notifiers.base import Card
from hitl_mcp.notifiers.layout import Layout
from hitl_mcp.notifiers.text import shortened

_ASKED_LIMIT = 300


def moment(at: datetime) -> str:
    """An instant, to the second, in UTC and saying so."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def headline(card: Card) -> str:
    """How the request stands, naming who decided."""
    by = f" by {', '.join(card.decided_by)}" if card.decided_by else ""
    match card.status:
        case RequestStatus.PENDING:
            return f"Approval needed ({card.risk_level.value} risk)"
        case RequestStatus.APPROVED:
            return f"Approved{by}, then revoked" if card.revoked else f"Approved{by}"
        case RequestStatus.DENIED:
            return f"Denied{by}"
        case RequestStatus.TIMEOUT:
            return "Not answered in time: nothing will run"
        case RequestStatus.CANCELLED:
            return f"Cancelled{by}"


def facts(card: Card) -> list[tuple[str, str]]:
    """Label and value of what is worth knowing besides the action."""
    lines = [("Request", card.request_id), ("Agent", card.agent), ("Risk", card.risk_level.value)]
    if card.status is RequestStatus.PENDING:
        lines.append(("Answer before", moment(card.expires_at)))
        if card.approvals_required > 1:
            given = f": {', '.join(card.approved_by)}" if card.approved_by else ""
            lines.append(("Approvals", f"{len(card.approved_by)} of {card.approvals_required}{given}"))
        if card.escalated_to:
            lines.append(("Now also asked", shortened(", ".join(card.escalated_to), _ASKED_LIMIT)))
    elif card.reason:
        lines.append(("Reason", card.reason))
    lines.append(("Action", card.action_digest))
    return lines


def call_headline(card: Card) -> str:
    """What a call to an open card begins with."""
    return f"Still waiting for an answer ({card.risk_level.value} risk)"


def call_facts(card: Card) -> list[tuple[str, str]]:
    """What a call repeats of its card: enough to find it, and who is asked."""
    wanted = {"Request", "Agent", "Answer before", "Approvals", "Now also asked"}
    return [(label, value) for label, value in facts(card) if label in wanted]


def why_no_approve(card: Card, layout: Layout) -> str | None:
    """Why a pending card has Review in the place of Approve, or None where it offers Approve or has ended."""
    if card.status is not RequestStatus.PENDING or layout.offers_approve:
        return None
    if not card.chat_may_approve:
        return f"This request ({card.risk_level.value} risk) is approved on the review page, not in a chat."
    return layout.hidden_notice()
