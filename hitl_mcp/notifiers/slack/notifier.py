"""The Slack channel.

What the service allows, and what therefore holds: chat.postMessage has no idempotency key, but a message
carries metadata that conversations.history gives back. After a crash between sending a card and recording
it, the card is found there and not posted again, given the scope `channels:history` (or `groups:history`)
and a channel set by id.
"""

from __future__ import annotations

from pydantic import JsonValue

from hitl_mcp.notifiers.base import Call, Card, CardReference, CheckResult, DecisionInbox
from hitl_mcp.notifiers.errors import CardGone, ChannelUnauthorized, DeliveryFailed, NotifierError
from hitl_mcp.notifiers.settings import SlackSettings
from hitl_mcp.notifiers.slack.api import CHANNEL, SlackApi
from hitl_mcp.notifiers.slack.blocks import call_message, card_message, layout_of, shared_layout_of
from hitl_mcp.notifiers.slack.interactions import Interactions
from hitl_mcp.notifiers.slack.socket_mode import SocketModeReceiver

_EVENT = "hitl_card"
_CALL_EVENT = "hitl_call"
_SEARCHED_MESSAGES = 200


class SlackNotifier:
    """Cards in one conversation of one workspace."""

    channel = CHANNEL

    def __init__(self, settings: SlackSettings) -> None:
        self._api = SlackApi(settings)
        self._conversation = settings.channel

    async def check(self) -> CheckResult:
        try:
            identity = await self._api.call("auth.test")
            socket = await self._api.open_socket()
            await socket.close()
        except NotifierError as error:
            return CheckResult(self.channel, ok=False, detail=str(error))
        detail = f"bot {identity.get('user')} in workspace {identity.get('team')}, Socket Mode opens"
        return CheckResult(self.channel, ok=True, detail=detail)

    def offers_approve(self, card: Card) -> bool:
        return (shared_layout_of(card) if card.others else layout_of(card)).offers_approve

    def holds(self, card: Card) -> bool:
        return not card.others or shared_layout_of(card).named

    async def send(self, card: Card) -> CardReference:
        answer = await self._api.call(
            "chat.postMessage",
            {"channel": self._conversation, "metadata": _metadata(card), **card_message(card)},
        )
        return _reference(answer.get("channel"), answer.get("ts"))

    async def find(self, card: Card) -> CardReference | None:
        try:
            answer = await self._api.call(
                "conversations.history",
                {
                    "channel": self._conversation,
                    "oldest": f"{card.created_at.timestamp() - 60:.6f}",
                    "limit": _SEARCHED_MESSAGES,
                    "include_all_metadata": True,
                },
            )
        except ChannelUnauthorized:
            # No history scope, or a channel set by name: the service gives no way to know.
            return None
        messages = answer.get("messages")
        for message in messages if isinstance(messages, list) else []:
            if isinstance(message, dict) and message.get("metadata") == _metadata(card):
                return _reference(self._conversation, message.get("ts"))
        return None

    async def update(self, card: Card, reference: CardReference) -> CardReference:
        await self._api.call(
            "chat.update", {**reference.data, "metadata": _metadata(card), **card_message(card)}
        )
        return reference

    async def remind(self, card: Card, reference: CardReference, call: Call) -> None:
        if call.begun_before and await self._called(card, reference, call):
            return
        place: dict[str, JsonValue] = {
            "channel": reference.data.get("channel"),
            "thread_ts": reference.data.get("ts"),
            # In the thread it leads to the card; broadcast, the whole conversation is notified.
            "reply_broadcast": True,
            "metadata": _call_metadata(card, call),
        }
        await self._api.call("chat.postMessage", {**place, **call_message(card)})

    async def _called(self, card: Card, reference: CardReference, call: Call) -> bool:
        try:
            answer = await self._api.call(
                "conversations.replies",
                {
                    "channel": reference.data.get("channel"),
                    "ts": reference.data.get("ts"),
                    "limit": _SEARCHED_MESSAGES,
                    "include_all_metadata": True,
                },
            )
        except ChannelUnauthorized:
            return False
        messages = answer.get("messages")
        return any(
            isinstance(message, dict) and message.get("metadata") == _call_metadata(card, call)
            for message in (messages if isinstance(messages, list) else [])
        )

    async def close(self, card: Card, reference: CardReference) -> None:
        try:
            await self.update(card, reference)
        except CardGone:
            # Whoever deleted the message has closed it.
            return

    async def receive(self, inbox: DecisionInbox) -> None:
        await SocketModeReceiver(self._api, Interactions(self._api, inbox).handle).run()

    async def aclose(self) -> None:
        await self._api.aclose()


def _metadata(card: Card) -> dict[str, JsonValue]:
    return {"event_type": _EVENT, "event_payload": {"request_id": card.request_id}}


def _call_metadata(card: Card, call: Call) -> dict[str, JsonValue]:
    return {
        "event_type": _CALL_EVENT,
        "event_payload": {"request_id": card.request_id, "call": str(call.number)},
    }


def _reference(conversation: JsonValue, timestamp: JsonValue) -> CardReference:
    if isinstance(conversation, str) and isinstance(timestamp, str):
        return CardReference({"channel": conversation, "ts": timestamp})
    raise DeliveryFailed("slack: chat.postMessage answered without saying where the message is")
