"""What Slack refuses in blocks and views: slack-sdk's own models, and the documented limits they do not know.

Source: https://docs.slack.dev/reference/block-kit
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from tests.emulators.serving import utf16_length

BLOCKS_TOO_LONG = 13_200
_RICH_ELEMENTS = {"rich_text_section", "rich_text_preformatted", "rich_text_quote", "rich_text_list"}
_RICH_PARTS = {"text", "link", "user", "channel", "emoji", "broadcast", "usergroup", "date"}
_BLOCK_TYPES = {
    "header",
    "section",
    "rich_text",
    "actions",
    "context",
    "divider",
    "input",
    "markdown",
    "image",
}


class Refused(Exception):
    """Slack's error code, and what it says about where."""

    def __init__(self, code: str, where: str = "") -> None:
        super().__init__(f"{code} {where}")
        self.code = code
        self.where = where


def check_blocks(blocks: object, *, limit: int = 50) -> None:
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise Refused("invalid_blocks_format")
    if len(blocks) > limit:
        raise Refused("invalid_blocks", f"no more than {limit} items allowed [json-pointer:/blocks]")
    if utf16_length(json.dumps(blocks, ensure_ascii=False)) > BLOCKS_TOO_LONG:
        raise Refused("msg_blocks_too_long")
    for index, block in enumerate(blocks):
        where = f"[json-pointer:/blocks/{index}]"
        if block.get("type") not in _BLOCK_TYPES:
            raise Refused("invalid_blocks", f"unsupported type: {block.get('type')} {where}")
        parsed = Block.parse(block)
        assert parsed is not None
        try:
            parsed.validate_json()
        except SlackObjectFormationError as error:
            raise Refused("invalid_blocks", f"{error} {where}") from error
        _check_texts(block, where)
        if block["type"] == "rich_text":
            _check_rich_text(block, where)
        if block["type"] == "actions":
            _check_actions(block, where)


def check_view(view: object) -> None:
    if not isinstance(view, dict) or view.get("type") != "modal":
        raise Refused("invalid_arguments", "view")
    try:
        View(**view).validate_json()
    except SlackObjectFormationError as error:
        raise Refused("invalid_arguments", str(error)) from error
    if "title" not in view or (
        any(block["type"] == "input" for block in view["blocks"]) and "submit" not in view
    ):
        raise Refused("invalid_arguments", "a modal with inputs needs a title and a submit button")
    check_blocks(view["blocks"], limit=100)


def texts_of(value: object, kind: str) -> Iterator[str]:
    """Every text object of a type, wherever it stands."""
    if isinstance(value, dict):
        if value.get("type") == kind and isinstance(value.get("text"), str):
            yield value["text"]
        for item in value.values():
            yield from texts_of(item, kind)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item, kind)


def _check_texts(block: dict[str, Any], where: str) -> None:
    for kind in ("plain_text", "mrkdwn"):
        for text in texts_of(block, kind):
            if not 1 <= utf16_length(text) <= 3000:
                raise Refused("invalid_blocks", f"must be between 1 and 3000 characters {where}")


def _check_rich_text(block: dict[str, Any], where: str) -> None:
    if not block.get("elements"):
        raise Refused("invalid_blocks", f"must have elements {where}")
    for element in block["elements"]:
        if element.get("type") not in _RICH_ELEMENTS or not element.get("elements"):
            raise Refused("invalid_blocks", f"invalid rich text element {where}")
        for part in element["elements"]:
            if part.get("type") not in _RICH_PARTS:
                raise Refused("invalid_blocks", f"invalid rich text part {part.get('type')} {where}")
            if part["type"] == "text" and not part.get("text"):
                raise Refused("invalid_blocks", f"must be more than 0 characters {where}")
            if part["type"] == "text" and element["type"] == "rich_text_preformatted" and "style" in part:
                raise Refused("invalid_blocks", f"preformatted text has no style {where}")


def _check_actions(block: dict[str, Any], where: str) -> None:
    identifiers = [element.get("action_id") for element in block["elements"]]
    if len(set(identifiers)) != len(identifiers) or not all(identifiers):
        raise Refused("invalid_blocks", f"action_id must be unique {where}")
    for element in block["elements"]:
        if element["type"] != "button":
            raise Refused("invalid_blocks", f"unsupported element {where}")
        if element["text"]["type"] != "plain_text" or utf16_length(element["text"]["text"]) > 75:
            raise Refused("invalid_blocks", f"button text {where}")
        if "value" in element and utf16_length(element["value"]) > 2000:
            raise Refused("invalid_blocks", f"button value {where}")
        if element.get("style", "primary") not in {"primary", "danger"}:
            raise Refused("invalid_blocks", f"button style {where}")
        if "url" in element and not element["url"].startswith(("http://", "https://")):
            raise Refused("invalid_blocks", f"button url {where}")


@dataclass
class Message:
    channel: str
    ts: str
    text: str
    blocks: list[dict[str, Any]]
    metadata: dict[str, Any]
    versions: int = 1
    thread_ts: str | None = None
    broadcast: bool = False

    @property
    def buttons(self) -> dict[str, dict[str, Any]]:
        """The buttons by what stands on them."""
        return {
            element["text"]["text"]: element
            for block in self.blocks
            if block["type"] == "actions"
            for element in block["elements"]
        }

    @property
    def visible(self) -> str:
        """All text that the message shows, in order."""
        parts = (part for kind in ("plain_text", "text", "mrkdwn") for part in texts_of(self.blocks, kind))
        return "\n".join(parts)

    def live(self) -> list[str]:
        """What a person could be notified by or led away with: mrkdwn, links, mentions, emoji."""
        links = list(texts_of(self.blocks, "mrkdwn"))
        for kind in ("link", "user", "usergroup", "channel", "broadcast", "emoji"):
            links += [f"{kind} element"] * json.dumps(self.blocks).count(f'"type": "{kind}"')
        links += [text for text in texts_of(self.blocks, "plain_text") if ":" in text and "emoji" in text]
        # The text beside the blocks is mrkdwn: only escaped angle brackets are harmless.
        return links + ([self.text] if "<" in self.text else [])

    def preformatted(self) -> str:
        return "".join(
            part["text"]
            for block in self.blocks
            if block["type"] == "rich_text"
            for element in block["elements"]
            if element["type"] == "rich_text_preformatted"
            for part in element["elements"]
        )
