"""The sentences that all channels share, so that a person meets the same words everywhere."""

from __future__ import annotations

from datetime import datetime

from hitl_mcp.approvals.models import RequestKind, RequestStatus
from hitl_mcp.notifiers.base import Card
from hitl_mcp.notifiers.layout import Layout
from hitl_mcp.notifiers.text import shortened, utf16_length

_ASKED_LIMIT = 300
_CHOICE_LIMIT = 60


def moment(at: datetime) -> str:
    """An instant, to the second, in UTC and saying so."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def headline(card: Card) -> str:
    """How the request stands, naming who decided."""
    by = f" by {', '.join(card.decided_by)}" if card.decided_by else ""
    match card.status:
        case RequestStatus.PENDING if card.kind is RequestKind.QUESTION:
            return "An agent asks a question"
        case RequestStatus.PENDING:
            return f"Approval needed ({card.risk_level.value} risk)"
        case RequestStatus.APPROVED:
            return f"Approved{by}, then revoked" if card.revoked else f"Approved{by}"
        case RequestStatus.DENIED:
            return f"{'Declined' if card.kind is RequestKind.QUESTION else 'Denied'}{by}"
        case RequestStatus.ANSWERED:
            return f"Answered{by}"
        case RequestStatus.TIMEOUT if card.kind is RequestKind.QUESTION:
            return "Not answered in time"
        case RequestStatus.TIMEOUT:
            return "Not answered in time: nothing will run"
        case RequestStatus.CANCELLED:
            return f"Cancelled{by}"


def facts(card: Card) -> list[tuple[str, str]]:
    """Label and value of what is worth knowing besides the action."""
    risk = f"{card.risk_level.value}: {card.risk_reason}" if card.risk_reason else card.risk_level.value
    lines = [("Request", card.request_id), ("Agent", card.agent), ("Risk", risk)]
    if card.edited_by:
        lines.append(("Edited by", card.edited_by))
    if card.status is RequestStatus.PENDING:
        lines.append(("Answer before", moment(card.expires_at)))
        if card.rule:
            lines.append(("Rule", card.rule))
        if card.approvals_required > 1:
            given = f": {', '.join(card.approved_by)}" if card.approved_by else ""
            lines.append(("Approvals", f"{len(card.approved_by)} of {card.approvals_required}{given}"))
        if _numbered(card):
            lines += [(f"Choice {number}", choice) for number, choice in enumerate(card.choices, 1)]
        if card.escalated_to:
            lines.append(("Now also asked", shortened(", ".join(card.escalated_to), _ASKED_LIMIT)))
    elif card.reason:
        lines.append(("Reason", card.reason))
    for asked in card.questions:
        # Names are other people's text, and only values are shown where no text becomes a link.
        lines.append(("Asked back", f"{asked.asked_by}: {asked.question}"))
        lines.append(("In the agent's words", asked.answer or "(no answer yet)"))
    lines.append(("Action", card.action_digest))
    return lines


def choice_labels(card: Card) -> list[str]:
    """What the buttons of a question say: each choice whole, or its number where they are too long for that.

    In quotation marks, as they are an agent's words beside buttons that are not.
    """
    if _numbered(card):
        return [f"Choice {number}" for number in range(1, len(card.choices) + 1)]
    return [f"“{choice}”" for choice in card.choices]


def _numbered(card: Card) -> bool:
    return any(utf16_length(choice) > _CHOICE_LIMIT for choice in card.choices)


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
    if card.kind is RequestKind.QUESTION:
        return "Answer it on the review page."
    if card.reason_required:
        return "The rule asks for a reason: approve on the review page, where you can give one."
    if not card.chat_may_approve:
        return f"This request ({card.risk_level.value} risk) is approved on the review page, not in a chat."
    return layout.hidden_notice()


def words_label(card: Card) -> str:
    """What stands above the agent's own words."""
    return "Question" if card.kind is RequestKind.QUESTION else "Why"


def payload_label(card: Card) -> str:
    """What stands above the rendering of the action."""
    return "All that was asked" if card.kind is RequestKind.QUESTION else "What will run"


def review_label(card: Card) -> str:
    """What the button that opens the page says."""
    return "Answer" if card.kind is RequestKind.QUESTION else "Review"


def approve_label(card: Card) -> str:
    """What the button that approves says."""
    count = len(card.open_items)
    return "Approve" if count < 2 else f"Approve all {count}"


def deny_label(card: Card) -> str:
    """What the button that denies says."""
    if (count := len(card.open_items)) > 1:
        return f"Deny all {count}"
    return "Decline" if card.kind is RequestKind.QUESTION else "Deny"
