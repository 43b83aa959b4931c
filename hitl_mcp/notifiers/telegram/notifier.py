"""The Telegram channel.

What the service allows, and what therefore holds: the Bot API has no idempotency key and no way to list
sent messages, so a crash between sending a card and recording it posts the card a second time. Both carry
the same nonce, so either works; the one that was not recorded keeps its buttons after the end until
somebody taps it.
"""

from __future__ import annotations

import contextlib

from pydantic import JsonValue

from hitl_mcp.notifiers.base import Call, Card, CardReference, CheckResult, DecisionInbox
from hitl_mcp.notifiers.errors import CardGone, DeliveryFailed, NotifierError
from hitl_mcp.notifiers.settings import TelegramSettings
from hitl_mcp.notifiers.telegram.api import CHANNEL, NothingChanged, TelegramApi
from hitl_mcp.notifiers.telegram.messages import call_message, card_message, layout_of, shared_layout_of
from hitl_mcp.notifiers.telegram.updates import UpdateReader


class TelegramNotifier:
    """Cards in one chat of one bot."""

    channel = CHANNEL

    def __init__(self, settings: TelegramSettings) -> None:
        self._api = TelegramApi(token=settings.bot_token, base_url=str(settings.api_url))
        self._chat_id = settings.chat_id

    async def check(self) -> CheckResult:
        try:
            bot = await self._api.call("getMe")
            chat = await self._api.call("getChat", {"chat_id": self._chat_id})
        except NotifierError as error:
            return CheckResult(self.channel, ok=False, detail=str(error))
        name = bot.get("username") if isinstance(bot, dict) else None
        kind = chat.get("type") if isinstance(chat, dict) else None
        return CheckResult(self.channel, ok=True, detail=f"bot @{name}, {kind} chat {self._chat_id}")

    def offers_approve(self, card: Card) -> bool:
        return (shared_layout_of(card) if card.others else layout_of(card)).offers_approve

    def holds(self, card: Card) -> bool:
        return not card.others or shared_layout_of(card).named

    async def send(self, card: Card) -> CardReference:
        arguments: dict[str, JsonValue] = {"chat_id": self._chat_id, **card_message(card).arguments()}
        return _reference(await self._api.call("sendMessage", arguments))

    async def find(self, card: Card) -> CardReference | None:  # noqa: ARG002
        return None

    async def update(self, card: Card, reference: CardReference) -> CardReference:
        with contextlib.suppress(NothingChanged):
            await self._api.call("editMessageText", {**reference.data, **card_message(card).arguments()})
        return reference

    async def remind(self, card: Card, reference: CardReference, call: Call) -> None:  # noqa: ARG002
        arguments = {"chat_id": reference.data.get("chat_id"), **call_message(card).arguments()}
        del arguments["reply_markup"]
        arguments["reply_parameters"] = {"message_id": reference.data.get("message_id")}
        await self._api.call("sendMessage", arguments)

    async def close(self, card: Card, reference: CardReference) -> None:
        try:
            await self.update(card, reference)
        except CardGone:
            # Whoever deleted the message has closed it.
            return

    async def receive(self, inbox: DecisionInbox) -> None:
        await UpdateReader(self._api, inbox).run()

    async def aclose(self) -> None:
        await self._api.aclose()


def _reference(message: JsonValue) -> CardReference:
    if isinstance(message, dict):
        chat, message_id = message.get("chat"), message.get("message_id")
        if isinstance(chat, dict) and isinstance(chat.get("id"), int) and isinstance(message_id, int):
            return CardReference({"chat_id": chat["id"], "message_id": message_id})
    raise DeliveryFailed("telegram: sendMessage answered without saying where the message is")
