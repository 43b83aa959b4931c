"""What people do with cards in Slack: buttons and the dialog that asks why.

Source: https://docs.slack.dev/reference/interaction-payloads
"""

from __future__ import annotations

import json
import logging
from typing import cast

from pydantic import JsonValue

from hitl_mcp.approvals.models import Verdict
from hitl_mcp.notifiers.base import CardChoice, CardTap, DecisionInbox, InboxAnswer
from hitl_mcp.notifiers.errors import NotifierError
from hitl_mcp.notifiers.slack.api import CHANNEL, SlackApi
from hitl_mcp.notifiers.slack.blocks import (
    APPROVE,
    CHOICE,
    DENY,
    REASON_BLOCK,
    REASON_INPUT,
    REASON_LIMIT,
    REASON_VIEW,
    escape_mrkdwn,
    reason_view,
)
from hitl_mcp.notifiers.text import cut

_log = logging.getLogger(__name__)

_FAILED = InboxAnswer("Something went wrong here, and nothing was decided. Please try again.")


class Interactions:
    """Turns interaction payloads into taps and tells people what became of them."""

    def __init__(self, api: SlackApi, inbox: DecisionInbox) -> None:
        self._api = api
        self._inbox = inbox

    async def handle(self, kind: str, payload: dict[str, JsonValue]) -> None:
        """Never raises: one poisoned payload must not keep later ones from being read."""
        if kind != "interactive":
            return
        try:
            match payload.get("type"):
                case "block_actions":
                    for action in _list(payload.get("actions")):
                        await self._button(payload, _dict(action))
                case "view_submission":
                    await self._reason_given(payload)
                case _:
                    return
        except Exception as error:
            _log.error("slack receiver: an interaction was passed over: %s", type(error).__name__)
            await self._tell(_place(payload), _text(_dict(payload.get("user")), "id"), _FAILED)

    async def _button(self, payload: dict[str, JsonValue], action: dict[str, JsonValue]) -> None:
        action_id, user = _text(action, "action_id"), _text(_dict(payload.get("user")), "id")
        place = _place(payload)
        number = action_id.removeprefix(CHOICE)
        if number != action_id and number.isascii() and number.isdigit():
            callback_id = f"{user}:{_text(action, 'action_ts')}:{action_id}"
            choice = CardChoice(CHANNEL, user, callback_id, _text(action, "value"), int(number[:4]))
            await self._tell(place, user, await self._inbox.choose(choice))
            return
        if action_id not in {APPROVE, DENY}:
            # Review is a link: Slack tells of it, and there is nothing to do.
            return
        tap = CardTap(
            channel=CHANNEL,
            external_user_id=user,
            callback_id=f"{user}:{_text(action, 'action_ts')}:{action_id}",
            nonce=_text(action, "value"),
            verdict=Verdict.APPROVE if action_id == APPROVE else Verdict.DENY,
        )
        if action_id == APPROVE:
            await self._tell(place, user, await self._inbox.tap(tap))
        elif refusal := await self._inbox.examine(tap):
            await self._tell(place, user, refusal)
        else:
            view = reason_view(json.dumps({"nonce": tap.nonce, "channel": place}))
            await self._api.call("views.open", {"trigger_id": _text(payload, "trigger_id"), "view": view})

    async def _reason_given(self, payload: dict[str, JsonValue]) -> None:
        view, user = _dict(payload.get("view")), _text(_dict(payload.get("user")), "id")
        if _text(view, "callback_id") != REASON_VIEW:
            return
        card = _dict(json.loads(_text(view, "private_metadata") or "{}"))
        values = _dict(_dict(_dict(view.get("state")).get("values")).get(REASON_BLOCK))
        reason = _text(_dict(values.get(REASON_INPUT)), "value").strip()
        answer = await self._inbox.tap(
            CardTap(
                channel=CHANNEL,
                external_user_id=user,
                callback_id=f"{user}:view:{_text(view, 'id')}",
                nonce=_text(card, "nonce"),
                verdict=Verdict.DENY,
                reason=cut(reason, REASON_LIMIT) or None,
            )
        )
        await self._tell(_text(card, "channel"), user, answer)

    async def _tell(self, place: str, user: str, answer: InboxAnswer) -> None:
        if answer.decided or not place or not user:
            # The card itself, closed, is the answer to a decision.
            return
        arguments: dict[str, JsonValue] = {
            "channel": place,
            "user": user,
            "text": escape_mrkdwn(answer.text),
            "link_names": False,
            "parse": "none",
        }
        try:
            await self._api.call("chat.postEphemeral", arguments)
        except NotifierError as error:
            _log.info("slack receiver: a person could not be told: %s", error)


def _place(payload: dict[str, JsonValue]) -> str:
    container = _dict(payload.get("container"))
    return _text(container, "channel_id") or _text(_dict(payload.get("channel")), "id")


def _dict(value: JsonValue) -> dict[str, JsonValue]:
    return cast("dict[str, JsonValue]", value) if isinstance(value, dict) else {}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _text(value: dict[str, JsonValue], key: str) -> str:
    item = value.get(key)
    return item if isinstance(item, str) else ""
