"""What a card that carries several requests says, before a channel gives it its form. Pure.

What is the same for all is said once, an action that several ask for is shown once, and everything else is
said of each. Where not all of it fits, nothing is cut: each request is named with its digest, and the review
pages show the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from hitl_mcp.approvals.models import RequestStatus
from hitl_mcp.notifiers.base import Card
from hitl_mcp.notifiers.text import shortened
from hitl_mcp.notifiers.wording import facts, headline

_HEADLINE_LIMIT = 80
_REASON_LIMIT = 120
_ITS_OWN = frozenset({"Request", "Action"})


class PartKind(Enum):
    """FACT and EXACT hold other people's words, to the letter; the others are the server's own.

    BUTTONS says what the buttons do, where a channel has such.
    """

    TITLE = auto()
    LABEL = auto()
    FACT = auto()
    EXACT = auto()
    NOTICE = auto()
    BUTTONS = auto()


@dataclass(frozen=True)
class Part:
    """One piece of the card; `label` stands before the text of a FACT."""

    kind: PartKind
    text: str
    label: str = ""


@dataclass(frozen=True)
class SharedLayout:
    """The parts in their order. `named` says whether a line for each request fits, whatever else does."""

    parts: tuple[Part, ...]
    offers_approve: bool
    named: bool


def share_out(card: Card, fits: Callable[[Sequence[Part]], bool]) -> SharedLayout:
    """The card whole, or else its requests by name. Approve is offered only where all of it is shown."""
    whole, listed = _whole(card), _listed(card)
    if fits(whole):
        offers = card.is_open and all(item.chat_may_approve for item in card.open_items)
        return SharedLayout(whole, offers, named=fits(listed))
    return SharedLayout(listed, offers_approve=False, named=fits(listed))


def shared_headline(card: Card) -> str:
    """How the requests of a card stand."""
    waiting = card.open_items
    if not waiting:
        return f"All {len(card.items)} requests have ended"
    wanted = f"Approval needed ({waiting[0].risk_level.value} risk)"
    return f"{wanted}: {len(waiting)} requests" if len(waiting) > 1 else wanted


def _whole(card: Card) -> tuple[Part, ...]:
    common, own = _facts_of(card.open_items)
    agents = tuple(dict.fromkeys(item.agent for item in card.open_items))
    parts = [Part(PartKind.TITLE, shared_headline(card))]
    if len(agents) > 1:
        parts.append(Part(PartKind.FACT, f"{len(agents)} agents: {', '.join(agents)}", "Asked by"))
    parts += common
    by_digest: dict[str, list[Card]] = {}
    for item in card.open_items:
        by_digest.setdefault(item.action_digest, []).append(item)
    for number, items in enumerate(by_digest.values(), 1):
        label = "What will run" if len(by_digest) == 1 else f"{number}. What will run"
        times = f", asked for {len(items)} times" if len(items) > 1 else ""
        parts += [
            Part(PartKind.LABEL, f"{label}{times}"),
            Part(PartKind.EXACT, items[0].display.text),
            Part(PartKind.FACT, items[0].action_digest, "Action"),
        ]
        for item in items:
            parts += own[item.request_id]
            if item.summary:
                parts.append(Part(PartKind.FACT, item.summary, "Summary"))
            parts += [Part(PartKind.LABEL, "Why"), Part(PartKind.EXACT, item.justification)]
    return (*parts, *_ended(card), *_notices(card, hidden=0))


def _listed(card: Card) -> tuple[Part, ...]:
    common, _ = _facts_of(card.open_items)
    agents = {item.agent for item in card.items}
    parts = [Part(PartKind.TITLE, shared_headline(card)), *common]
    hidden = 0
    for item in card.open_items:
        hidden += len(item.display.text) + len(item.justification) + len(item.summary or "")
        said = shortened(item.display.headline, _HEADLINE_LIMIT)
        by = f"{item.agent}: " if len(agents) > 1 else ""
        parts.append(Part(PartKind.FACT, f"{by}{said} {item.action_digest}", item.request_id))
    return (*parts, *_ended(card), *_notices(card, hidden=hidden))


def _facts_of(items: Sequence[Card]) -> tuple[list[Part], dict[str, list[Part]]]:
    """What is the same for all of them, and what is each one's own."""
    every = {item.request_id: facts(item) for item in items}
    first = facts(items[0]) if items else []
    same = {
        label
        for label, _ in first
        if label not in _ITS_OWN
        and len({tuple(value for name, value in told if name == label) for told in every.values()}) == 1
    }
    common = [Part(PartKind.FACT, value, label) for label, value in first if label in same]
    own = {
        request_id: [
            Part(PartKind.FACT, value, label) for label, value in told if label not in same | {"Action"}
        ]
        for request_id, told in every.items()
    }
    return common, own


def _ended(card: Card) -> list[Part]:
    over = [item for item in card.items if item.status is not RequestStatus.PENDING]
    return [
        Part(PartKind.FACT, f"{item.agent}: {headline(item)}{_why(item)}", item.request_id) for item in over
    ]


def _why(item: Card) -> str:
    return f" ({shortened(item.reason, _REASON_LIMIT)})" if item.reason else ""


def _notices(card: Card, *, hidden: int) -> list[Part]:
    waiting = card.open_items
    if not waiting:
        return []
    parts: list[Part] = []
    if hidden:
        text = f"{hidden} characters do not fit here. Open the review page to see everything."
        parts.append(Part(PartKind.NOTICE, text))
    elif waiting[0].reason_required:
        text = "The rule asks for a reason: approve on the review page, where you can give one."
        parts.append(Part(PartKind.NOTICE, text))
    elif not all(item.chat_may_approve for item in waiting):
        risk = waiting[0].risk_level.value
        text = f"Requests of {risk} risk are approved on the review page, not in a chat."
        parts.append(Part(PartKind.NOTICE, text))
    if len(waiting) > 1:
        text = f"A button here decides these {len(waiting)} requests, each for itself, and nothing else."
        parts.append(Part(PartKind.BUTTONS, text))
    return parts
