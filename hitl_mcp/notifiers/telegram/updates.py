"""Reads a bot's updates by long polling and hands taps and commands to the inbox.

An update is confirmed (by asking for the next) only once it was handled, so that a crash loses none; the
inbox recognises one that comes twice. An update that cannot be handled is answered, logged by its number
and passed over.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import cast

from pydantic import JsonValue

from hitl_mcp.approvals.models import Verdict
from hitl_mcp.notifiers.base import CardChoice, CardTap, DecisionInbox, InboxAnswer, TypedDecision
from hitl_mcp.notifiers.errors import ChannelBusy, ChannelUnauthorized, NotifierError
from hitl_mcp.notifiers.telegram.api import CHANNEL, LONG_POLL_SECONDS, TelegramApi
from hitl_mcp.notifiers.telegram.messages import ANSWER_LIMIT, parse_callback, parse_choice, plain_message
from hitl_mcp.notifiers.text import cut, shortened
from server_kit.errors import DatabaseUnavailable

_log = logging.getLogger(__name__)

_KINDS: list[JsonValue] = ["message", "callback_query"]
_COMMANDS: tuple[tuple[str, str], ...] = (
    ("pending", "requests that wait for an answer"),
    ("approve", "ID: approve a request shown here in full"),
    ("reject", "ID [reason]: deny a request"),
    ("status", "[ID]: how a request stands, or how many wait"),
)
_USAGE = "\n".join(f"/{name} {description}" for name, description in _COMMANDS)
_FAILED = InboxAnswer("Something went wrong here, and nothing was decided. Please try again.")
_MAX_BACKOFF_SECONDS = 30.0


class UpdateReader:
    """One bot's receiver. Telegram serves one at a time, which the dispatcher's lease sees to."""

    def __init__(self, api: TelegramApi, inbox: DecisionInbox) -> None:
        self._api = api
        self._inbox = inbox
        self._offset = 0

    async def run(self) -> None:
        """Read until cancelled; outlasts every failure of the service and of single updates."""
        failures = 0
        announced = False
        while True:
            try:
                if not announced:
                    await self._announce_commands()
                    announced = True
                await self._read_once()
                failures = 0
            except ChannelBusy as busy:
                await asyncio.sleep(busy.retry_after_seconds)
            except (NotifierError, DatabaseUnavailable) as error:
                failures += 1
                _log.warning("telegram receiver: %s", error)
                await asyncio.sleep(_pause(failures, worst=isinstance(error, ChannelUnauthorized)))

    async def _announce_commands(self) -> None:
        commands: list[JsonValue] = [{"command": name, "description": text} for name, text in _COMMANDS]
        await self._api.call("setMyCommands", {"commands": commands})

    async def _read_once(self) -> None:
        updates = await self._api.call(
            "getUpdates",
            {"offset": self._offset, "timeout": LONG_POLL_SECONDS, "allowed_updates": _KINDS},
            extra_seconds=LONG_POLL_SECONDS,
        )
        for update in updates if isinstance(updates, list) else []:
            number = update.get("update_id") if isinstance(update, dict) else None
            if not isinstance(update, dict) or not isinstance(number, int):
                _log.warning("telegram receiver: passed over something that is no update")
                continue
            await self._handle_safely(number, update)
            self._offset = number + 1

    async def _handle_safely(self, number: int, update: dict[str, JsonValue]) -> None:
        try:
            if isinstance(query := update.get("callback_query"), dict):
                await self._tap(number, query)
            elif isinstance(message := update.get("message"), dict):
                await self._message(number, message)
        except DatabaseUnavailable:
            # Not confirmed: it comes again once the database is back.
            raise
        except Exception as error:
            # One poisoned update must not keep all later ones from being read.
            _log.error("telegram receiver: update %d passed over: %s", number, type(error).__name__)

    async def _tap(self, number: int, query: dict[str, JsonValue]) -> None:
        answer = _FAILED
        query_id = str(query.get("id", ""))
        try:
            user_id = _user_id(query)
            data = str(query.get("data", ""))
            verdict, nonce = parse_callback(data) or (Verdict.DENY, "")
            if user_id is None:
                _log.warning("telegram receiver: update %d names no user", number)
            elif chosen := parse_choice(data):
                choice = CardChoice(CHANNEL, user_id, query_id, chosen[1], chosen[0])
                answer = await self._inbox.choose(choice)
            else:
                answer = await self._inbox.tap(CardTap(CHANNEL, user_id, query_id, nonce, verdict))
        finally:
            await self._answer_tap(query_id, answer)
        if answer.ended:
            await self._take_buttons_away(query.get("message"))

    async def _answer_tap(self, query_id: str, answer: InboxAnswer) -> None:
        try:
            await self._api.call(
                "answerCallbackQuery",
                {
                    "callback_query_id": query_id,
                    "text": shortened(answer.text, ANSWER_LIMIT),
                    "show_alert": not answer.decided,
                },
            )
        except NotifierError as error:
            # The decision stands whether or not the person's phone could be told.
            _log.info("telegram receiver: a tap could not be answered: %s", error)

    async def _take_buttons_away(self, message: JsonValue) -> None:
        # Reaches the card that a crash left unrecorded, which no delivery will ever close.
        chat = message.get("chat") if isinstance(message, dict) else None
        if not isinstance(message, dict) or not isinstance(chat, dict):
            return
        place: dict[str, JsonValue] = {"chat_id": chat.get("id"), "message_id": message.get("message_id")}
        try:
            await self._api.call("editMessageReplyMarkup", {**place, "reply_markup": {"inline_keyboard": []}})
        except NotifierError as error:
            _log.debug("telegram receiver: buttons stay: %s", error)

    async def _message(self, number: int, message: dict[str, JsonValue]) -> None:
        text, user_id = message.get("text"), _user_id(message)
        chat = message.get("chat")
        if (
            not isinstance(text, str)
            or not text.startswith("/")
            or user_id is None
            or not isinstance(chat, dict)
        ):
            return
        command, *words = cut(text, 1000).split(maxsplit=2)
        answer = _FAILED
        try:
            answer = await self._command(
                number, user_id, command.removeprefix("/").partition("@")[0].casefold(), words
            )
        finally:
            if answer.text:
                await self._reply(chat.get("id"), message.get("message_id"), answer)

    async def _command(self, number: int, user_id: str, command: str, words: list[str]) -> InboxAnswer:
        match command, words:
            case "pending", _:
                return await self._inbox.pending(CHANNEL, user_id)
            case "status", _:
                return await self._inbox.status(CHANNEL, user_id, words[0] if words else None)
            case "approve", [request_id, *_]:
                return await self._typed(number, user_id, request_id, Verdict.APPROVE, None)
            case "reject", [request_id, *rest]:
                return await self._typed(number, user_id, request_id, Verdict.DENY, rest[0] if rest else None)
            case "approve" | "reject" | "start" | "help", _:
                return InboxAnswer(_USAGE)
            case _:
                # Other bots' commands arrive in groups too.
                return InboxAnswer("")

    async def _typed(
        self, number: int, user_id: str, request_id: str, verdict: Verdict, reason: str | None
    ) -> InboxAnswer:
        return await self._inbox.typed(
            TypedDecision(CHANNEL, user_id, f"update:{number}", request_id, verdict, reason)
        )

    async def _reply(self, chat_id: JsonValue, message_id: JsonValue, answer: InboxAnswer) -> None:
        arguments: dict[str, JsonValue] = {"chat_id": chat_id, **plain_message(answer.text).arguments()}
        del arguments["reply_markup"]
        if isinstance(message_id, int):
            arguments["reply_parameters"] = {"message_id": message_id, "allow_sending_without_reply": True}
        try:
            await self._api.call("sendMessage", arguments)
        except NotifierError as error:
            _log.info("telegram receiver: a command could not be answered: %s", error)


def _pause(failures: int, *, worst: bool) -> float:
    ceiling = _MAX_BACKOFF_SECONDS if worst else min(_MAX_BACKOFF_SECONDS, 2.0 ** min(failures, 10) / 4)
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, hides nothing


def _user_id(item: dict[str, JsonValue]) -> str | None:
    user = item.get("from")
    identifier = cast("dict[str, JsonValue]", user).get("id") if isinstance(user, dict) else None
    return str(identifier) if isinstance(identifier, int) else None
