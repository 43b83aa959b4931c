"""How much of a card fits a channel, and whether it may then be approved there. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from hitl_contract.display import Excerpt
from hitl_mcp.approvals.models import RequestStatus
from hitl_mcp.notifiers.base import Card
from hitl_mcp.notifiers.text import cut, excerpt_within, utf16_length

_SUMMARY_FLOOR = 150
_JUSTIFICATION_FLOOR = 500


@dataclass(frozen=True)
class Layout:
    """The parts of a card as they fit, with nothing left out silently."""

    summary: str | None
    justification: str
    action: Excerpt
    hidden_characters: int
    offers_approve: bool

    def hidden_notice(self) -> str | None:
        """The sentence that says what is missing, or None where all is shown."""
        if not self.hidden_characters:
            return None
        return f"{self.hidden_characters} characters do not fit here. Open the review page to see everything."


def lay_out(card: Card, *, budget: int) -> Layout:
    """Fit the card's three texts into `budget` UTF-16 code units, the prose giving way to the action.

    Approve is offered only for a pending request of a risk that chat may approve, and only where nothing is
    hidden, the prose included: what persuades must be read as completely as what runs. So are the choices of
    a question.
    """
    summary, justification = card.summary or "", card.justification
    needed = utf16_length(summary) + utf16_length(justification) + utf16_length(card.display.text)
    if needed > budget:
        summary = cut(summary, min(_SUMMARY_FLOOR, budget // 8))
        justification = cut(justification, min(_JUSTIFICATION_FLOOR, budget // 4))
    action = excerpt_within(card.display, budget - utf16_length(summary) - utf16_length(justification))
    hidden = (
        action.hidden_characters
        + len(card.summary or "")
        - len(summary)
        + len(card.justification)
        - len(justification)
    )
    return Layout(
        summary=summary or None,
        justification=justification,
        action=action,
        hidden_characters=hidden,
        offers_approve=(
            card.status is RequestStatus.PENDING
            and hidden == 0
            and (card.chat_may_approve or card.chat_may_answer)
        ),
    )
