"""What a card looks like in Slack: Block Kit whose every text is literal.

No text of an agent or a person is ever `mrkdwn`, in which it could mention, link or disguise: it stands in
rich text elements, which Slack shows as they are. Source:
https://docs.slack.dev/reference/block-kit/blocks/rich-text-block
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import JsonValue

from hitl_mcp.notifiers.base import Card
from hitl_mcp.notifiers.layout import Layout, lay_out
from hitl_mcp.notifiers.shared_layout import Part, PartKind, SharedLayout, share_out, shared_headline
from hitl_mcp.notifiers.text import pieces_of, shortened, utf16_length
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

APPROVE, DENY, REVIEW = "hitl_approve", "hitl_deny", "hitl_review"
CHOICE = "hitl_choice_"
REASON_VIEW, REASON_BLOCK, REASON_INPUT = "hitl_deny_reason", "reason", "reason"
REASON_LIMIT = 500
_HEADER_LIMIT = 150
_PIECE_LIMIT = 2_900
# Slack refuses all blocks of a message together at about 13,200 characters, their JSON included (bolt-js
# #2509, #2867).
_BLOCKS_LIMIT = 11_000
_MOST_BLOCKS = 50
_BUDGETS = (8_000, 6_500, 5_000, 3_500, 2_500, 1_500)


def layout_of(card: Card) -> Layout:
    """How much of the card one message holds."""
    return _fitting(card)[0]


def shared_layout_of(card: Card) -> SharedLayout:
    """How much one message holds of a card that carries several requests."""
    return share_out(card, _fits)


def card_message(card: Card) -> dict[str, JsonValue]:
    """The content arguments of chat.postMessage and chat.update."""
    said = shared_headline(card) if card.others else headline(card)
    return {
        # Shown in notifications, and parsed as mrkdwn even beside blocks.
        "text": escape_mrkdwn(f"{said}: {card.request_id}"),
        "blocks": _shared_blocks(card) if card.others else _fitting(card)[1],
        "unfurl_links": False,
        "unfurl_media": False,
        "link_names": False,
        "parse": "none",
    }


def call_message(card: Card) -> dict[str, JsonValue]:
    """The content arguments of a message that calls people to a card."""
    lines: list[JsonValue] = [_text(f"{call_headline(card)}\n", bold=True)]
    for label, value in call_facts(card):
        lines += [_text(f"{label}: "), _text(value, code=True), _text("\n")]
    return {
        "text": escape_mrkdwn(f"{call_headline(card)}: {card.request_id}"),
        "blocks": [_rich(_section(*lines))],
        "unfurl_links": False,
        "unfurl_media": False,
        "link_names": False,
        "parse": "none",
    }


def reason_view(card_place: str) -> dict[str, JsonValue]:
    """The dialog that asks why. `card_place` comes back with the answer as it is."""
    return {
        "type": "modal",
        "callback_id": REASON_VIEW,
        "private_metadata": card_place,
        "title": _plain("Deny"),
        "submit": _plain("Deny"),
        "close": _plain("Back"),
        "blocks": [
            {
                "type": "input",
                "block_id": REASON_BLOCK,
                "label": _plain("Why?"),
                "hint": _plain("The agent reads this."),
                "element": {
                    "type": "plain_text_input",
                    "action_id": REASON_INPUT,
                    "multiline": True,
                    "max_length": REASON_LIMIT,
                },
            }
        ],
    }


def escape_mrkdwn(text: str) -> str:
    """Text that mrkdwn cannot take for a link or a mention.

    Source: https://docs.slack.dev/messaging/formatting-message-text#escaping
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _fitting(card: Card) -> tuple[Layout, list[JsonValue]]:
    layout = lay_out(card, budget=_BUDGETS[0])
    blocks = _blocks(card, layout)
    for budget in _BUDGETS[1:]:
        if utf16_length(json.dumps(blocks, ensure_ascii=False)) <= _BLOCKS_LIMIT:
            break
        layout = lay_out(card, budget=budget)
        blocks = _blocks(card, layout)
    return layout, blocks


def _blocks(card: Card, layout: Layout) -> list[JsonValue]:
    blocks: list[JsonValue] = [
        {"type": "header", "text": _plain(shortened(headline(card), _HEADER_LIMIT))},
        _rich(_facts(card, layout)),
        _rich(_label(words_label(card)), *_preformatted(layout.justification)),
        _rich(_label(payload_label(card))),
        *[_rich(piece) for piece in _preformatted(layout.action.text)],
    ]
    notices = [layout.hidden_notice(), why_no_approve(card, layout)]
    if lines := list(dict.fromkeys(notice for notice in notices if notice)):
        blocks.append(_rich(_section(*[_text(f"{line}\n") for line in lines])))
    if card.is_open and card.choices:
        if layout.offers_approve:
            blocks.append(_choices(card))
        blocks.append(_buttons(card, offers_approve=False))
    elif card.is_open:
        blocks.append(_buttons(card, offers_approve=layout.offers_approve))
    return blocks


def _choices(card: Card) -> dict[str, JsonValue]:
    elements: list[JsonValue] = [
        {"type": "button", "action_id": f"{CHOICE}{number}", "text": _plain(label), "value": card.nonce}
        for number, label in enumerate(choice_labels(card))
    ]
    return {"type": "actions", "block_id": "hitl_choices", "elements": elements}


def _shared_blocks(card: Card) -> list[JsonValue]:
    layout = shared_layout_of(card)
    blocks = _blocks_of(layout.parts)
    if card.is_open:
        blocks.append(_buttons(card, offers_approve=layout.offers_approve))
    return blocks


def _fits(parts: Sequence[Part]) -> bool:
    blocks = _blocks_of(parts)
    # The buttons are the last block.
    within = utf16_length(json.dumps(blocks, ensure_ascii=False)) <= _BLOCKS_LIMIT
    return within and len(blocks) < _MOST_BLOCKS


def _blocks_of(parts: Sequence[Part]) -> list[JsonValue]:
    blocks: list[JsonValue] = []
    lines: list[JsonValue] = []
    elements: list[dict[str, JsonValue]] = []

    def end_lines() -> None:
        if lines:
            elements.append(_section(*lines))
            lines.clear()

    def end_block() -> None:
        end_lines()
        if elements:
            blocks.append(_rich(*elements))
            elements.clear()

    for part in parts:
        match part.kind:
            case PartKind.TITLE:
                blocks.append({"type": "header", "text": _plain(shortened(part.text, _HEADER_LIMIT))})
            case PartKind.LABEL:
                end_block()
                elements.append(_label(part.text))
            case PartKind.FACT:
                lines += [_text(f"{part.label}: ", bold=True), _text(part.text, code=True), _text("\n")]
            case PartKind.EXACT:
                end_lines()
                for piece in _preformatted(part.text):
                    elements.append(piece)
                    end_block()
            case PartKind.NOTICE | PartKind.BUTTONS:
                end_block()
                elements.append(_section(_text(part.text)))
    end_block()
    return blocks


def _facts(card: Card, layout: Layout) -> dict[str, JsonValue]:
    pairs = [*facts(card), *([("Summary", layout.summary)] if layout.summary else [])]
    elements: list[JsonValue] = []
    for label, value in pairs:
        elements += [_text(f"{label}: ", bold=True), _text(value, code=True), _text("\n")]
    return _section(*elements)


def _buttons(card: Card, *, offers_approve: bool) -> dict[str, JsonValue]:
    deny: dict[str, JsonValue] = {
        "type": "button",
        "action_id": DENY,
        "text": _plain(deny_label(card)),
        "style": "danger",
        "value": card.nonce,
    }
    review: dict[str, JsonValue] = {
        "type": "button",
        "action_id": REVIEW,
        "text": _plain(review_label(card)),
        "url": card.review_url,
    }
    approve: dict[str, JsonValue] = {
        "type": "button",
        "action_id": APPROVE,
        "text": _plain(approve_label(card)),
        "style": "primary",
        "value": card.nonce,
    }
    elements: list[JsonValue] = [approve, deny, review] if offers_approve else [review, deny]
    return {"type": "actions", "block_id": "hitl_decision", "elements": elements}


def _preformatted(text: str) -> list[dict[str, JsonValue]]:
    return [
        {"type": "rich_text_preformatted", "elements": [_text(piece)]}
        for piece in pieces_of(text, _PIECE_LIMIT)
    ]


def _label(text: str) -> dict[str, JsonValue]:
    return _section(_text(text, bold=True))


def _rich(*elements: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"type": "rich_text", "elements": list(elements)}


def _section(*elements: JsonValue) -> dict[str, JsonValue]:
    return {"type": "rich_text_section", "elements": list(elements)}


def _text(text: str, *, bold: bool = False, code: bool = False) -> dict[str, JsonValue]:
    element: dict[str, JsonValue] = {"type": "text", "text": text}
    if bold or code:
        element["style"] = {"bold": True} if bold else {"code": True}
    return element


def _plain(text: str) -> dict[str, JsonValue]:
    return {"type": "plain_text", "text": text, "emoji": False}
