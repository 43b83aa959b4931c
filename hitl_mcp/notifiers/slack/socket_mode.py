"""Socket Mode: a WebSocket on which Slack delivers interactions.

slack-sdk's own client retries a used ticket for ever, hides failures and leaves tasks behind when
cancelled, so the loop is this module's; the envelopes are slack-sdk's. A connection that Slack is about to
recycle is replaced before it is drained, and anything delivered twice is recognised by the inbox. Source:
https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable
from typing import cast

import aiohttp
from pydantic import JsonValue
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from hitl_mcp.notifiers.errors import ChannelBusy, ChannelUnauthorized, NotifierError
from hitl_mcp.notifiers.slack.api import SlackApi

_log = logging.getLogger(__name__)

_HELLO_SECONDS = 10.0
_DRAIN_SECONDS = 30.0
_ACK_SECONDS = 2.0
_MAX_BACKOFF_SECONDS = 30.0

Handler = Callable[[str, dict[str, JsonValue]], Awaitable[None]]


class SocketModeReceiver:
    """Keeps one connection open and calls `handle(type, payload)` for each envelope; `handle` must not
    raise.
    """

    def __init__(self, api: SlackApi, handle: Handler) -> None:
        self._api = api
        self._handle = handle

    async def run(self) -> None:
        """Receive until cancelled; outlasts every failure of the service."""
        failures = 0
        async with asyncio.TaskGroup() as connections:
            while True:
                connection = _Connection(self._handle)
                try:
                    socket = await self._api.open_socket()
                except ChannelBusy as busy:
                    await asyncio.sleep(busy.retry_after_seconds)
                    continue
                except NotifierError as error:
                    failures += 1
                    _log.warning("slack receiver: %s", error)
                    await _back_off(failures, worst=isinstance(error, ChannelUnauthorized))
                    continue
                connections.create_task(connection.read(socket))
                await connection.spent.wait()
                failures = 0 if connection.greeted else failures + 1
                if failures:
                    await _back_off(failures, worst=False)


async def _back_off(failures: int, *, worst: bool) -> None:
    ceiling = _MAX_BACKOFF_SECONDS if worst else min(_MAX_BACKOFF_SECONDS, 2.0 ** min(failures, 10) / 4)
    await asyncio.sleep(ceiling * random.uniform(0.5, 1.0))  # noqa: S311


class _Connection:
    """One WebSocket from hello to its end."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self.greeted = False
        self.spent = asyncio.Event()
        """Time to open the next connection; this one may still deliver."""

    async def read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            async with asyncio.TaskGroup() as envelopes:
                await self._read(socket, envelopes)
        except aiohttp.ClientError as error:
            _log.info("slack receiver: connection lost: %s", type(error).__name__)
        finally:
            self.spent.set()
            await socket.close()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, envelopes: asyncio.TaskGroup) -> None:
        deadline: float | None = asyncio.get_running_loop().time() + _HELLO_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    message = await socket.receive()
            except TimeoutError:
                return
            if message.type is not aiohttp.WSMsgType.TEXT:
                if message.type in _ENDS:
                    return
                continue
            envelope = _parsed(cast("str", message.data))
            match envelope.get("type"):
                case "hello":
                    self.greeted, deadline = True, None
                case "disconnect":
                    _log.info("slack receiver: asked to reconnect: %s", str(envelope.get("reason"))[:40])
                    self.spent.set()
                    deadline = asyncio.get_running_loop().time() + _DRAIN_SECONDS
                case _:
                    if (request := _request_of(envelope)) is not None:
                        envelopes.create_task(self._serve(socket, request))

    async def _serve(self, socket: aiohttp.ClientWebSocketResponse, request: SocketModeRequest) -> None:
        # Acknowledged when handled, so that a crash before shows the person a failure and not a false
        # success; but within Slack's three seconds even where handling takes longer.
        payload = cast("dict[str, JsonValue]", request.payload)  # pyright: ignore[reportUnknownMemberType]
        handling = asyncio.ensure_future(self._handle(request.type, payload))
        try:
            await asyncio.wait({handling}, timeout=_ACK_SECONDS)
            await _acknowledge(socket, request.envelope_id)
            await handling
        except Exception as error:
            # One poisoned envelope must not take the connection down with it.
            _log.error("slack receiver: an envelope was passed over: %s", type(error).__name__)
        finally:
            handling.cancel()


_ENDS = frozenset(
    {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
)


async def _acknowledge(socket: aiohttp.ClientWebSocketResponse, envelope_id: str) -> None:
    try:
        response = cast("dict[str, JsonValue]", SocketModeResponse(envelope_id).to_dict())  # pyright: ignore[reportUnknownMemberType]
        await socket.send_str(json.dumps(response))
    except (aiohttp.ClientError, ConnectionError) as error:
        _log.info("slack receiver: an envelope could not be acknowledged: %s", type(error).__name__)


def _parsed(data: str) -> dict[str, JsonValue]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, JsonValue]", value) if isinstance(value, dict) else {}


def _request_of(envelope: dict[str, JsonValue]) -> SocketModeRequest | None:
    if not isinstance(envelope.get("envelope_id"), str) or not isinstance(envelope.get("payload"), dict):
        return None
    return SocketModeRequest.from_dict(  # pyright: ignore[reportUnknownMemberType]
        cast("dict[str, object]", envelope)
    )
