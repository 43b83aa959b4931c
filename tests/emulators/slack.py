"""Slack's Web API and the peer of Socket Mode.

Sources: https://docs.slack.dev/apis/web-api/, https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

from tests.emulators.serving import Emulator, Fault, dropped, utf16_length
from tests.emulators.slack_blocks import Message, Refused, check_blocks, check_view

BOT_TOKEN = "xoxb-1111-2222-emulatedBotToken"
APP_TOKEN = "xapp-1-A111-3333-emulatedAppToken"
CHANNEL = "C0EMULATED1"
_ACK_SECONDS = 3.0


@dataclass
class Delivery:
    """An envelope sent over Socket Mode, and when it was acknowledged."""

    envelope_id: str
    sent_at: float
    acked_at: float | None = None


@dataclass
class View:
    view_id: str
    user: str
    content: dict[str, Any]


@dataclass
class _Trigger:
    user: str
    expires_at: float
    used: bool = False


class SlackEmulator(Emulator):
    """One workspace with one app in it, one conversation, and people who press buttons."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: dict[str, Message] = {}
        self.ephemeral: list[dict[str, Any]] = []
        self.views: list[View] = []
        self.deliveries: dict[str, Delivery] = {}
        self.scopes = {"chat:write", "channels:history"}
        self.sockets: list[web.WebSocketResponse] = []
        self.connections = 0
        self.say_hello = True
        self.last_envelope: dict[str, Any] = {}
        self._tickets: set[str] = set()
        self._triggers: dict[str, _Trigger] = {}
        self._numbers = itertools.count(1)

    @property
    def api_url(self) -> str:
        return f"{self.origin}/api/"

    def application(self) -> web.Application:
        application = web.Application(client_max_size=1024 * 1024)
        application.router.add_post("/api/{method}", self._serve)
        application.router.add_get("/link/", self._socket)
        return application

    # What people do.

    async def press(self, message: Message, button: str, user: str) -> Delivery:
        """Press a button of a card; the envelope that tells of it."""
        element = message.buttons[button]
        return await self.send_action(message, element["action_id"], element.get("value", ""), user)

    async def send_action(self, message: Message, action_id: str, value: str, user: str) -> Delivery:
        trigger_id = f"{next(self._numbers)}.{secrets.token_hex(8)}"
        self._triggers[trigger_id] = _Trigger(user, time.monotonic() + 3.0)
        return await self.send_interaction(
            {
                "type": "block_actions",
                "user": {"id": user, "username": "somebody", "team_id": "T1"},
                "api_app_id": "A111",
                "token": "Shh_its_a_seekrit",
                "container": {"type": "message", "message_ts": message.ts, "channel_id": message.channel},
                "trigger_id": trigger_id,
                "team": {"id": "T1", "domain": "emulated"},
                "channel": {"id": message.channel, "name": "approvals"},
                "message": {"type": "message", "ts": message.ts, "text": message.text},
                "actions": [
                    {
                        "type": "button",
                        "action_id": action_id,
                        "block_id": "hitl_decision",
                        "value": value,
                        "action_ts": f"{time.time():.6f}",
                    }
                ],
            }
        )

    async def submit(self, view: View, reason: str | None) -> Delivery:
        """Answer the dialog that is open."""
        block = next(block for block in view.content["blocks"] if block["type"] == "input")
        state = {
            block["block_id"]: {block["element"]["action_id"]: {"type": "plain_text_input", "value": reason}}
        }
        return await self.send_interaction(
            {
                "type": "view_submission",
                "user": {"id": view.user, "username": "somebody", "team_id": "T1"},
                "team": {"id": "T1", "domain": "emulated"},
                "view": {"id": view.view_id, **view.content, "state": {"values": state}},
            }
        )

    async def send_interaction(self, payload: object) -> Delivery:
        return await self.send_envelope(
            {"type": "interactive", "payload": payload, "accepts_response_payload": True}
        )

    async def send_envelope(self, envelope: dict[str, Any]) -> Delivery:
        """Deliver anything over the newest connection; again over the same with the same `envelope_id`."""
        await self.until(lambda: self.sockets)
        envelope_id = envelope.setdefault("envelope_id", secrets.token_hex(16))
        delivery = Delivery(envelope_id, time.monotonic())
        self.deliveries[envelope_id] = delivery
        self.last_envelope = envelope
        await self.sockets[-1].send_json(envelope)
        return delivery

    async def send_raw(self, text: str) -> None:
        await self.until(lambda: self.sockets)
        await self.sockets[-1].send_str(text)

    async def acknowledged(self, delivery: Delivery) -> float:
        """Seconds until the envelope was acknowledged; Slack shows the person an error after three."""
        await self.until(lambda: delivery.acked_at is not None, _ACK_SECONDS)
        assert delivery.acked_at is not None
        return delivery.acked_at - delivery.sent_at

    async def recycle(self, reason: str = "refresh_requested") -> None:
        """Ask the app to open another connection, as Slack does every few hours."""
        await self.until(lambda: self.sockets)
        await self.sockets[-1].send_json(
            {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-1"}}
        )

    async def cut(self) -> None:
        """Close every connection without a word."""
        for socket in list(self.sockets):
            await socket.close()

    async def card(self, request_id: str) -> Message:
        return await self.until(lambda: next(iter(self.cards(request_id)), None))

    def cards(self, request_id: str) -> list[Message]:
        return [
            message
            for message in self.messages.values()
            if request_id in message.visible and message.thread_ts is None
        ]

    def replies(self, card: Message) -> list[Message]:
        """What was said in the thread of a card."""
        return [message for message in self.messages.values() if message.thread_ts == card.ts]

    async def told(self, user: str, count: int = 1) -> str:
        """The text of the `count`-th thing that this person alone was told."""

        def look() -> list[dict[str, Any]] | None:
            mine = [message for message in self.ephemeral if message["user"] == user]
            return mine if len(mine) >= count else None

        return str((await self.until(look))[count - 1]["text"])

    async def view(self, user: str) -> View:
        return await self.until(lambda: next((view for view in self.views if view.user == user), None))

    # What the app may do.

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        wanted = APP_TOKEN if method == "apps.connections.open" else BOT_TOKEN
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if given != wanted:
            return web.json_response({"ok": False, "error": "invalid_auth" if given else "not_authed"})
        body = await _body(request)
        fault = self.next_fault(method)
        if fault is not None and not fault.after:
            return await _faulty(request, fault)
        try:
            handler = getattr(self, "_" + method.replace(".", "_").lower(), None)
            if handler is None:
                raise Refused("unknown_method")
            answer = handler(body)
        except Refused as error:
            messages = {"response_metadata": {"messages": [f"[ERROR] {error.where}"]}} if error.where else {}
            return web.json_response({"ok": False, "error": error.code, **messages})
        self.calls.append((method, body))
        await self.note()
        if fault is not None:
            return await _faulty(request, fault)
        return web.json_response({"ok": True, **answer})

    def _auth_test(self, _: dict[str, Any]) -> dict[str, Any]:
        return {
            "url": "https://emulated.slack.com/",
            "team": "Emulated",
            "user": "approvals",
            "user_id": "UBOT",
        }

    def _apps_connections_open(self, _: dict[str, Any]) -> dict[str, Any]:
        ticket = secrets.token_hex(16)
        self._tickets.add(ticket)
        return {"url": f"ws://127.0.0.1:{self.port}/link/?ticket={ticket}&app_id=A111"}

    def _chat_postmessage(self, body: dict[str, Any]) -> dict[str, Any]:
        self._check_content(body)
        ts = f"{time.time():.0f}.{next(self._numbers):06d}"
        thread_ts = body.get("thread_ts")
        if thread_ts is not None and thread_ts not in self.messages:
            raise Refused("thread_not_found")
        if body.get("reply_broadcast") and thread_ts is None:
            raise Refused("invalid_arguments")
        message = Message(CHANNEL, ts, body["text"], body.get("blocks", []), body.get("metadata", {}))
        message.thread_ts, message.broadcast = thread_ts, bool(body.get("reply_broadcast"))
        self.messages[ts] = message
        return {"channel": CHANNEL, "ts": ts, "message": {"type": "message", "ts": ts, "text": body["text"]}}

    def _chat_update(self, body: dict[str, Any]) -> dict[str, Any]:
        self._check_content(body)
        message = self.messages.get(body.get("ts", ""))
        if message is None:
            raise Refused("message_not_found")
        message.text, message.blocks = body["text"], body.get("blocks", [])
        message.metadata = body.get("metadata", message.metadata)
        message.versions += 1
        return {"channel": CHANNEL, "ts": message.ts, "text": message.text}

    def _chat_postephemeral(self, body: dict[str, Any]) -> dict[str, Any]:
        self._check_content(body)
        self.ephemeral.append(body)
        return {"message_ts": f"{time.time():.6f}"}

    def _views_open(self, body: dict[str, Any]) -> dict[str, Any]:
        trigger = self._triggers.get(body.get("trigger_id", ""))
        if trigger is None:
            raise Refused("invalid_trigger_id")
        if trigger.used:
            raise Refused("exchanged_trigger_id")
        if time.monotonic() > trigger.expires_at:
            raise Refused("expired_trigger_id")
        check_view(body.get("view"))
        trigger.used = True
        view = View(f"V{next(self._numbers)}", trigger.user, body["view"])
        self.views.append(view)
        return {"view": {"id": view.view_id, **view.content}}

    def _conversations_history(self, body: dict[str, Any]) -> dict[str, Any]:
        if "channels:history" not in self.scopes:
            raise Refused("missing_scope")
        if body.get("channel") != CHANNEL:
            raise Refused("channel_not_found")
        in_channel = [each for each in self.messages.values() if each.thread_ts is None or each.broadcast]
        newest_first = sorted(in_channel, key=lambda message: message.ts, reverse=True)
        found: list[dict[str, Any]] = []
        for message in newest_first[: int(body.get("limit", 100))]:
            if float(message.ts) > float(body.get("oldest", 0)):
                shown = {"type": "message", "ts": message.ts, "text": message.text, "blocks": message.blocks}
                wanted = str(body.get("include_all_metadata", "")).lower() in {"1", "true"}
                found.append({**shown, **({"metadata": message.metadata} if wanted else {})})
        return {"messages": found, "has_more": False}

    def _conversations_replies(self, body: dict[str, Any]) -> dict[str, Any]:
        if "channels:history" not in self.scopes:
            raise Refused("missing_scope")
        if body.get("channel") != CHANNEL:
            raise Refused("channel_not_found")
        parent = self.messages.get(body.get("ts", ""))
        if parent is None:
            raise Refused("thread_not_found")
        wanted = str(body.get("include_all_metadata", "")).lower() in {"1", "true"}
        found = [
            {"type": "message", "ts": each.ts, "text": each.text}
            | ({"metadata": each.metadata} if wanted else {})
            for each in (parent, *self.replies(parent))
        ]
        return {"messages": found[: int(body.get("limit", 100))], "has_more": False}

    def _check_content(self, body: dict[str, Any]) -> None:
        if body.get("channel") not in {CHANNEL, "approvals", "#approvals"}:
            raise Refused("channel_not_found")
        if not body.get("text") and not body.get("blocks"):
            raise Refused("no_text")
        if utf16_length(body.get("text", "")) > 40_000:
            raise Refused("msg_too_long")
        check_blocks(body.get("blocks", []))
        metadata = body.get("metadata")
        if metadata is not None and not (
            isinstance(metadata.get("event_type"), str) and isinstance(metadata.get("event_payload"), dict)
        ):
            raise Refused("invalid_metadata_format")

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=404)
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse(heartbeat=None)
        await socket.prepare(request)
        self.connections += 1
        if self.say_hello:
            await socket.send_json(
                {
                    "type": "hello",
                    "num_connections": len(self.sockets) + 1,
                    "debug_info": {"host": "applink-1", "approximate_connection_time": 18060},
                    "connection_info": {"app_id": "A111"},
                }
            )
        self.sockets.append(socket)
        await self.note()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._acked(json.loads(message.data))
        finally:
            self.sockets.remove(socket)
            await self.note()
        return socket

    async def _acked(self, answer: dict[str, Any]) -> None:
        delivery = self.deliveries.get(answer.get("envelope_id", ""))
        if delivery is not None and delivery.acked_at is None:
            delivery.acked_at = time.monotonic()
        await self.note()

    async def stop(self) -> None:
        await self.cut()
        await asyncio.sleep(0)
        await super().stop()


async def _body(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        return await request.json()
    form = await request.post()
    return {**dict(request.query), **{name: str(value) for name, value in form.items()}}


async def _faulty(request: web.Request, fault: Fault) -> web.Response:
    if fault.drop_connection:
        return await dropped(request)
    if fault.error is not None:
        return web.json_response({"ok": False, "error": fault.error})
    if fault.status == 429:
        headers = {"Retry-After": str(fault.retry_after or 1)}
        return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
    return web.Response(status=fault.status, text="upstream connect error", content_type="text/html")
