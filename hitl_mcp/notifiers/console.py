"""Cards on a terminal: the standard error of the server, since standard output may carry a protocol.

One-way: a person answers with the commands and the page that the card names. A terminal cannot be searched,
so a server killed between printing a card and recording it prints the card again at its next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TextIO

from hitl_mcp.approvals.models import RequestStatus
from hitl_mcp.notifiers.base import Call, Card, CardReference, CheckResult, DecisionInbox
from hitl_mcp.notifiers.errors import DeliveryFailed
from hitl_mcp.notifiers.layout import Layout, lay_out
from hitl_mcp.notifiers.shared_layout import Part, PartKind, share_out
from hitl_mcp.notifiers.wording import (
    call_facts,
    call_headline,
    facts,
    headline,
    payload_label,
    review_label,
    why_no_approve,
    words_label,
)

_BUDGET = 16_000
_RULE = "─" * 72


class ConsoleNotifier:
    """Writes cards to `stream`, which has to be standard error or a file; never standard output."""

    channel = "console"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    async def check(self) -> CheckResult:
        if self._stream.closed:
            return CheckResult(self.channel, ok=False, detail="the terminal is closed")
        return CheckResult(self.channel, ok=True, detail="prints cards to standard error")

    def offers_approve(self, card: Card) -> bool:
        if card.others:
            return share_out(card, _fits).offers_approve
        return _layout(card).offers_approve

    def holds(self, card: Card) -> bool:
        return not card.others or share_out(card, _fits).named

    async def send(self, card: Card) -> CardReference:
        if card.others:
            self._write(_shared_card(card))
        else:
            self._write(_open_card(card, _layout(card)))
        return CardReference()

    async def find(self, card: Card) -> CardReference | None:  # noqa: ARG002
        return None

    async def update(self, card: Card, reference: CardReference) -> CardReference:
        if card.others:
            # What was printed stays printed: those that joined are shown with the rest, as they are now.
            self._write(_shared_card(card))
            return reference
        asked = f", now also asked: {', '.join(card.escalated_to)}" if card.escalated_to else ""
        self._write(f"{headline(card)}: {card.request_id}{asked}\n")
        return reference

    async def remind(self, card: Card, reference: CardReference, call: Call) -> None:  # noqa: ARG002
        told = "; ".join(f"{label}: {value}" for label, value in call_facts(card))
        self._write(f"{call_headline(card)}. {told}\n")

    async def close(self, card: Card, reference: CardReference) -> None:  # noqa: ARG002
        for item in card.items:
            reason = f" — {item.reason}" if item.reason else ""
            self._write(f"{headline(item)}: {item.request_id}{reason}\n")

    async def receive(self, inbox: DecisionInbox) -> None:  # noqa: ARG002
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        """Nothing to release: the stream belongs to whoever gave it."""

    def _write(self, text: str) -> None:
        try:
            # A terminal that cannot show a character gets an escape in its place, never an exception.
            encoding = self._stream.encoding or "utf-8"
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise DeliveryFailed(f"the console cannot be written: {type(error).__name__}") from error


def _open_card(card: Card, layout: Layout) -> str:
    lines = ["", _RULE, headline(card)]
    lines += [f"  {label}: {value}" for label, value in facts(card)]
    if layout.summary:
        lines.append(f"  Summary: {layout.summary}")
    lines += [
        f"  {words_label(card)}:",
        *_indented(layout.justification),
        f"  {payload_label(card)}:",
        *_indented(layout.action.text),
    ]
    if hidden := layout.hidden_notice():
        lines.append(f"  {hidden}")
    lines.append(f"  {review_label(card)}: {card.review_url}")
    if card.status is RequestStatus.PENDING:
        if why := why_no_approve(card, layout):
            lines.append(f"  {why}")
        else:
            lines.append(f"  Approve: hitl approve {card.request_id}")
        lines.append(f"  Deny:    hitl deny {card.request_id} --reason WHY")
    return "\n".join([*lines, _RULE, ""])


def _layout(card: Card) -> Layout:
    # Nothing can be tapped in a terminal.
    return lay_out(replace(card, choices=()), budget=_BUDGET)


def _shared_card(card: Card) -> str:
    layout = share_out(card, _fits)
    lines = ["", _RULE, *_lines_of(layout.parts), f"  {review_label(card)}: {card.review_url}"]
    for item in card.open_items:
        if layout.offers_approve:
            lines.append(f"  Approve: hitl approve {item.request_id}")
        lines.append(f"  Deny:    hitl deny {item.request_id} --reason WHY")
    return "\n".join([*lines, _RULE, ""])


def _fits(parts: Sequence[Part]) -> bool:
    return sum(map(len, _lines_of(parts))) <= _BUDGET


def _lines_of(parts: Sequence[Part]) -> list[str]:
    lines: list[str] = []
    for part in parts:
        match part.kind:
            case PartKind.TITLE:
                lines.append(part.text)
            case PartKind.LABEL:
                lines.append(f"  {part.text}:")
            case PartKind.FACT:
                lines.append(f"  {part.label}: {part.text}")
            case PartKind.EXACT:
                lines += _indented(part.text)
            case PartKind.NOTICE:
                lines.append(f"  {part.text}")
            case PartKind.BUTTONS:
                continue
    return lines


def _indented(text: str) -> list[str]:
    # The bar tells the agent's lines from the server's: an agent cannot write a line that looks like ours.
    return [f"    │ {line}" for line in text.split("\n")]
