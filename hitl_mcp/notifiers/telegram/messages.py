"""What a card looks like in Telegram: plain text with entities, never a parse mode.

With entities the text is taken as it is: nothing an agent writes can become markup. Telegram still turns
bare URLs, mentions, hashtags and commands into links by itself, except within `code` and `pre`, so all text
of an agent or a person stands within one of these. Source: https://core.telegram.org/bots/api#messageentity
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import JsonValue

from hitl_contract.display import Excerpt
from hitl_mcp.approvals.models import Verdict
from hitl_mcp.notifiers.base import Card
from hitl_mcp.notifiers.layout import Layout, lay_out
from hitl_mcp.notifiers.shared_layout import Part, PartKind, SharedLayout, share_out
from hitl_mcp.notifiers.text import shortened, utf16_length
from hitl_mcp.notifiers.wording import (
    approve_label,
    call_facts,
    call_headline,
    choice_labels,
    deny_label,
    facts,
    headline,
    payload_label,
    review_label,
    why_no_approve,
    words_label,
)

MESSAGE_LIMIT = 4096
ANSWER_LIMIT = 200
_PREFIXES = {Verdict.APPROVE: "a", Verdict.DENY: "d"}
_CHOICE = re.compile(r"c([0-9]{1,3}):(.+)", re.ASCII | re.DOTALL)


@dataclass(frozen=True)
class Message:
    """Text with its entities, whose offsets and lengths count UTF-16 code units, and the buttons below it."""

    text: str
    entities: tuple[dict[str, JsonValue], ...]
    keyboard: tuple[tuple[dict[str, JsonValue], ...], ...] = ()

    def arguments(self) -> dict[str, JsonValue]:
        """As the arguments of sendMessage and editMessageText. An empty keyboard removes the buttons."""
        return {
            "text": self.text,
            "entities": [dict(entity) for entity in self.entities],
            "link_preview_options": {"is_disabled": True},
            "reply_markup": {"inline_keyboard": [[dict(key) for key in row] for row in self.keyboard]},
        }


class _Writer:
    def __init__(self) -> None:
        self._parts: list[str] = []
        self._entities: list[dict[str, JsonValue]] = []
        self.length = 0

    def add(self, text: str, entity: str | None = None) -> None:
        length = utf16_length(text)
        if entity is not None and text.strip():
            self._entities.append({"type": entity, "offset": self.length, "length": length})
        self._parts.append(text)
        self.length += length

    def message(self, keyboard: tuple[tuple[dict[str, JsonValue], ...], ...] = ()) -> Message:
        return Message("".join(self._parts), tuple(self._entities), keyboard)


def layout_of(card: Card) -> Layout:
    """How much of the card one message holds, beside everything that is not the agent's text."""
    hidden = len(card.display.text)
    empty = Layout(None, "", Excerpt("", hidden), hidden, offers_approve=False)
    overhead = _write(card, empty).length + len("Summary: \n") + 20
    return lay_out(card, budget=MESSAGE_LIMIT - overhead)


def shared_layout_of(card: Card) -> SharedLayout:
    """How much one message holds of a card that carries several requests."""
    return share_out(card, lambda parts: _write_parts(card, parts).length <= MESSAGE_LIMIT)


def card_message(card: Card) -> Message:
    """The whole message of a card, open or ended."""
    if card.others:
        shared = shared_layout_of(card)
        keyboard = _keyboard(card, offers_approve=shared.offers_approve)
        return _write_parts(card, shared.parts).message(keyboard)
    layout = layout_of(card)
    return _write(card, layout).message(_keyboard(card, offers_approve=layout.offers_approve))


def call_message(card: Card) -> Message:
    """A message that calls people to a card, to be sent as a reply to it."""
    writer = _Writer()
    writer.add(call_headline(card), "bold")
    for label, value in call_facts(card):
        writer.add(f"\n{label}: ")
        writer.add(value, "code")
    return writer.message()


def plain_message(text: str) -> Message:
    """An answer to a command. It may quote names and ids, so all of it is inert."""
    writer = _Writer()
    writer.add(shortened(text, MESSAGE_LIMIT), "pre")
    return writer.message()


def parse_callback(data: str) -> tuple[Verdict, str] | None:
    """Verdict and nonce of a button's callback data, or None for anything that is no button of ours."""
    prefix, separator, nonce = data.partition(":")
    for verdict, known in _PREFIXES.items():
        if separator and prefix == known and nonce:
            return verdict, nonce
    return None


def parse_choice(data: str) -> tuple[int, str] | None:
    """The number of a choice and the nonce of its card, or None for anything that is no such button."""
    found = _CHOICE.fullmatch(data)
    return None if found is None else (int(found[1]), found[2])


def _write(card: Card, layout: Layout) -> _Writer:
    writer = _Writer()
    # The headline names people, and names are other people's text.
    writer.add(headline(card), "code" if card.decided_by else "bold")
    writer.add("\n")
    for label, value in facts(card):
        writer.add(f"{label}: ")
        writer.add(value, "code")
        writer.add("\n")
    if layout.summary:
        writer.add("Summary: ")
        writer.add(layout.summary, "code")
        writer.add("\n")
    writer.add(f"{words_label(card)}:\n")
    writer.add(layout.justification, "pre")
    writer.add(f"\n{payload_label(card)}:\n")
    writer.add(layout.action.text, "pre")
    writer.add("\n")
    if hidden := layout.hidden_notice():
        writer.add(f"{hidden}\n")
    if (why := why_no_approve(card, layout)) and why != hidden:
        writer.add(f"{why}\n")
    _add_address(writer, card)
    return writer


def _write_parts(card: Card, parts: Sequence[Part]) -> _Writer:
    writer = _Writer()
    for part in parts:
        match part.kind:
            case PartKind.TITLE | PartKind.LABEL:
                writer.add(part.text, "bold")
                writer.add("\n")
            case PartKind.FACT:
                writer.add(f"{part.label}: ")
                writer.add(part.text, "code")
                writer.add("\n")
            case PartKind.EXACT:
                writer.add(part.text, "pre")
                writer.add("\n")
            case PartKind.NOTICE | PartKind.BUTTONS:
                writer.add(f"{part.text}\n")
    _add_address(writer, card)
    return writer


def _add_address(writer: _Writer, card: Card) -> None:
    if card.is_open and not _linkable(card.review_url):
        writer.add(f"{review_label(card)}: ")
        writer.add(card.review_url, "code")


def _keyboard(card: Card, *, offers_approve: bool) -> tuple[tuple[dict[str, JsonValue], ...], ...]:
    if not card.is_open:
        return ()
    review: dict[str, JsonValue] = {"text": review_label(card), "url": card.review_url}
    deny = _button(deny_label(card), Verdict.DENY, card.nonce)
    linkable = _linkable(card.review_url)
    if offers_approve and card.choices:
        rows: list[tuple[dict[str, JsonValue], ...]] = [
            ({"text": label, "callback_data": f"c{number}:{card.nonce}"},)
            for number, label in enumerate(choice_labels(card))
        ]
        return (*rows, (review, deny) if linkable else (deny,))
    if offers_approve:
        first = (_button(approve_label(card), Verdict.APPROVE, card.nonce), deny)
        return (first, (review,)) if linkable else (first,)
    return ((review, deny),) if linkable else ((deny,),)


def _button(text: str, verdict: Verdict, nonce: str) -> dict[str, JsonValue]:
    return {"text": text, "callback_data": f"{_PREFIXES[verdict]}:{nonce}"}


def _linkable(url: str) -> bool:
    """Telegram refuses a button whose host has no dot, such as localhost."""
    parts = urlsplit(url)
    return parts.scheme in {"http", "https"} and "." in (parts.hostname or "")
