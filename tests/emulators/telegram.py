"""Telegram's Bot API, as strict as the real one about what a bot may send.

Source: https://core.telegram.org/bots/api
"""

from __future__ import annotations

import copy
import itertools
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from tests.emulators.serving import Emulator, Fault, dropped, utf16_length

TOKEN = "123456789:AAtest_TOKEN-of-the-emulated-bot0000"
ENTITY_TYPES = {"bold", "italic", "code", "pre", "underline", "strikethrough", "text_link", "text_mention"}
# What Telegram's servers turn into something to tap by themselves, outside of code and pre.
AUTOMATIC_LINKS = re.compile(
    r"https?://\S+|\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|io|example|evil)\b|(?<!\w)@\w{3,}|(?<!\w)#\w+|(?<!\w)/[a-z]\w*"
)


class BadRequest(Exception):
    def __init__(self, description: str, code: int = 400) -> None:
        super().__init__(description)
        self.description = description
        self.code = code


@dataclass
class Message:
    chat_id: int
    message_id: int
    text: str
    entities: list[dict[str, Any]]
    keyboard: list[list[dict[str, Any]]]
    reply_to: int | None = None
    versions: list[str] = field(default_factory=list)

    @property
    def buttons(self) -> list[str]:
        return [key["text"] for row in self.keyboard for key in row]

    def callback_data(self, button: str) -> str:
        return next(key["callback_data"] for row in self.keyboard for key in row if key["text"] == button)

    def live_links(self) -> list[str]:
        """What a person could tap in the text: links that Telegram would make of it, and text links."""
        units = self.text.encode("utf-16-le")
        masked = bytearray(units)
        for entity in self.entities:
            if entity["type"] in {"code", "pre"}:
                start, end = entity["offset"] * 2, (entity["offset"] + entity["length"]) * 2
                masked[start:end] = " ".encode("utf-16-le") * entity["length"]
        links = AUTOMATIC_LINKS.findall(masked.decode("utf-16-le", "replace"))
        return links + [entity["url"] for entity in self.entities if entity["type"] == "text_link"]

    def entity_texts(self, kind: str) -> list[str]:
        units = self.text.encode("utf-16-le")
        return [
            units[entity["offset"] * 2 : (entity["offset"] + entity["length"]) * 2].decode("utf-16-le")
            for entity in self.entities
            if entity["type"] == kind
        ]


class TelegramEmulator(Emulator):
    """One bot, some chats, and people who tap and write."""

    def __init__(self, chat_id: int = -1001234567890) -> None:
        super().__init__()
        self.chat_id = chat_id
        self.chats = {chat_id: "supergroup"}
        self.messages: dict[int, Message] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.commands: list[dict[str, str]] = []
        self.last_callback: dict[str, Any] = {}
        self._updates: list[dict[str, Any]] = []
        self._queries: set[str] = set()
        self._numbers = itertools.count(1)
        self._poll = 0

    def application(self) -> web.Application:
        application = web.Application(client_max_size=1024 * 1024)
        application.router.add_route("*", "/bot{token}/{method}", self._serve)
        return application

    # What people do.

    async def tap(self, message: Message, button: str, user_id: int) -> str:
        """Press a button; the query's id."""
        return await self.send_callback(message.callback_data(button), user_id, message)

    async def send_callback(self, data: str, user_id: int, message: Message) -> str:
        query_id = str(4_000_000_000 + next(self._numbers))
        self._queries.add(query_id)
        self.last_callback = {
            "id": query_id,
            "from": {"id": user_id, "is_bot": False, "first_name": "Somebody"},
            "message": {"message_id": message.message_id, "chat": {"id": message.chat_id}, "date": 1},
            "chat_instance": "1",
            "data": data,
        }
        await self.push(callback_query=self.last_callback)
        return query_id

    async def write(self, text: str, user_id: int, chat_id: int | None = None) -> int:
        """Write a message to the bot; its id."""
        message_id = next(self._numbers)
        await self.push(
            message={
                "message_id": message_id,
                "from": {"id": user_id, "is_bot": False, "first_name": "Somebody"},
                "chat": {"id": self.chat_id if chat_id is None else chat_id, "type": "supergroup"},
                "date": 1,
                "text": text,
            }
        )
        return message_id

    async def push(self, **update: Any) -> None:
        """Deliver any update, the impossible ones included."""
        self._updates.append({"update_id": 70_000 + next(self._numbers), **update})
        await self.note()

    async def card(self, request_id: str) -> Message:
        """The message that shows this request, once it is there."""
        return await self.until(lambda: next(iter(self.cards(request_id)), None))

    def cards(self, request_id: str) -> list[Message]:
        return [
            message
            for message in self.messages.values()
            if request_id in message.text and message.reply_to is None
        ]

    async def answer(self, query_id: str) -> str:
        return str((await self.until(lambda: self.answers.get(query_id)))["text"])

    async def reply(self, message_id: int) -> Message:
        return await self.until(
            lambda: next((each for each in self.messages.values() if each.reply_to == message_id), None)
        )

    @property
    def unread(self) -> int:
        return len(self._updates)

    # What the bot may do.

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        if request.match_info["token"] != TOKEN:
            return _refusal(401, "Unauthorized")
        body = await request.json() if request.can_read_body else {}
        fault = self.next_fault(method)
        if fault is not None and not fault.after:
            return await _faulty(request, fault)
        try:
            handler = getattr(self, f"_{_snake(method)}", None)
            if handler is None:
                raise BadRequest("Not Found", 404)
            result = await handler(body)
        except BadRequest as error:
            return _refusal(error.code, error.description)
        self.calls.append((method, body))
        await self.note()
        if fault is not None:
            return await _faulty(request, fault)
        return web.json_response({"ok": True, "result": result})

    async def _get_me(self, _: dict[str, Any]) -> object:
        return {"id": 123456789, "is_bot": True, "first_name": "Approvals", "username": "approvals_bot"}

    async def _get_chat(self, body: dict[str, Any]) -> object:
        chat_id = self._chat(body)
        return {"id": chat_id, "type": self.chats[chat_id]}

    async def _set_my_commands(self, body: dict[str, Any]) -> object:
        for command in body["commands"]:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", command["command"]):
                raise BadRequest("Bad Request: BOT_COMMAND_INVALID")
            if not 1 <= len(command["description"]) <= 256:
                raise BadRequest("Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands = body["commands"]
        return True

    async def _get_updates(self, body: dict[str, Any]) -> object:
        self._poll += 1
        mine = self._poll
        await self.note()
        offset = body.get("offset", 0)
        self._updates = [update for update in self._updates if update["update_id"] >= offset]

        def look() -> object:
            return self._poll != mine or self._updates

        try:
            await self.until(look, min(body.get("timeout", 0), 50) or 0.01)
        except TimeoutError:
            return []
        if self._poll != mine:
            raise BadRequest("Conflict: terminated by other getUpdates request", 409)
        return self._updates[: body.get("limit", 100)]

    async def _send_message(self, body: dict[str, Any]) -> object:
        chat_id = self._chat(body)
        text, entities, keyboard = _checked(body)
        reply = body.get("reply_parameters", {})
        reply_to = reply.get("message_id")
        # People's own messages are not kept here; those of the bot are.
        unknown = reply_to is not None and reply_to not in self.messages
        if unknown and not reply.get("allow_sending_without_reply"):
            raise BadRequest("Bad Request: message to be replied not found")
        message = Message(chat_id, next(self._numbers), text, entities, keyboard, reply_to, [text])
        self.messages[message.message_id] = message
        return _shown(message)

    async def _edit_message_text(self, body: dict[str, Any]) -> object:
        message = self._message(body)
        text, entities, keyboard = _checked(body)
        if (text, entities, keyboard) == (message.text, message.entities, message.keyboard):
            raise BadRequest(
                "Bad Request: message is not modified: specified new message content and reply markup are "
                "exactly the same as a current content and reply markup of the message"
            )
        message.text, message.entities, message.keyboard = text, entities, keyboard
        message.versions.append(text)
        return _shown(message)

    async def _edit_message_reply_markup(self, body: dict[str, Any]) -> object:
        message = self._message(body)
        keyboard = _checked_keyboard(body)
        if keyboard == message.keyboard:
            raise BadRequest("Bad Request: message is not modified")
        message.keyboard = keyboard
        return _shown(message)

    async def _answer_callback_query(self, body: dict[str, Any]) -> object:
        query_id = body["callback_query_id"]
        if query_id not in self._queries or query_id in self.answers:
            raise BadRequest(
                "Bad Request: query is too old and response timeout expired or query ID is invalid"
            )
        if utf16_length(body.get("text", "")) > 200:
            raise BadRequest("Bad Request: MESSAGE_TOO_LONG")
        self.answers[query_id] = copy.deepcopy(body)
        return True

    def _chat(self, body: dict[str, Any]) -> int:
        chat_id = body.get("chat_id")
        if chat_id not in self.chats:
            raise BadRequest("Bad Request: chat not found")
        return chat_id

    def _message(self, body: dict[str, Any]) -> Message:
        message = self.messages.get(body["message_id"])
        if message is None or message.chat_id != self._chat(body):
            raise BadRequest("Bad Request: message to edit not found")
        return message


def _checked(body: dict[str, Any]) -> tuple[str, list[dict[str, Any]], list[list[dict[str, Any]]]]:
    text, entities = body.get("text", ""), body.get("entities", [])
    if not text.strip():
        raise BadRequest("Bad Request: message text is empty")
    if utf16_length(text) > 4096:
        raise BadRequest("Bad Request: message is too long")
    if "parse_mode" in body and entities:
        raise BadRequest("Bad Request: parse_mode and entities exclude each other")
    if len(entities) > 100:
        raise BadRequest("Bad Request: too many entities")
    for entity in entities:
        end = entity["offset"] + entity["length"]
        if entity["type"] not in ENTITY_TYPES or entity["length"] < 1 or end > utf16_length(text):
            raise BadRequest(f"Bad Request: entity is invalid: {entity}")
        try:
            text.encode("utf-16-le")[entity["offset"] * 2 : end * 2].decode("utf-16-le")
        except UnicodeDecodeError:
            raise BadRequest("Bad Request: entity beginning or ending in the middle of a character") from None
    return text, entities, _checked_keyboard(body)


def _checked_keyboard(body: dict[str, Any]) -> list[list[dict[str, Any]]]:
    keyboard = body.get("reply_markup", {}).get("inline_keyboard", [])
    for key in (key for row in keyboard for key in row):
        if not key.get("text"):
            raise BadRequest(
                'Bad Request: can\'t parse inline keyboard button: Field "text" must be non-empty'
            )
        if ("callback_data" in key) == ("url" in key):
            raise BadRequest("Bad Request: BUTTON_TYPE_INVALID")
        if "callback_data" in key and not 1 <= len(key["callback_data"].encode()) <= 64:
            raise BadRequest("Bad Request: BUTTON_DATA_INVALID")
        if "url" in key:
            parts = urlsplit(key["url"])
            if parts.scheme not in {"http", "https", "tg"} or "." not in (parts.hostname or ""):
                raise BadRequest(
                    f"Bad Request: inline keyboard button URL '{key['url']}' is invalid: Wrong HTTP URL"
                )
    return keyboard


def _shown(message: Message) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "chat": {"id": message.chat_id, "type": "supergroup"},
        "date": 1,
        "text": message.text,
    }


def _refusal(code: int, description: str, **parameters: Any) -> web.Response:
    body: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    if parameters:
        body["parameters"] = parameters
    return web.json_response(body, status=code)


async def _faulty(request: web.Request, fault: Fault) -> web.Response:
    if fault.drop_connection:
        return await dropped(request)
    if fault.status == 429:
        seconds = fault.retry_after or 1
        return _refusal(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
    if fault.error is not None:
        return _refusal(fault.status, fault.error)
    return web.Response(status=fault.status, text="<html>Bad Gateway</html>")


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
