"""The sessions of a proxy over HTTP. Each is one agent's, with a relay and a server of its own behind it.

1. A session of the handshake era is found by an id that cannot be guessed, and by the agent that began it:
   for any other it does not exist.
2. Requests of the stateless era share one relay for each agent, and none with another agent.
3. An agent has at most `MOST_FOR_ONE` of them; what nobody uses for half an hour ends.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio
import structlog
from mcp.client._transport import TransportStreams
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER, StreamableHTTPServerTransport
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types import INTERNAL_ERROR, INVALID_REQUEST
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from hitl_mcp.proxy.exchange import Exchange
from hitl_mcp.proxy.http_requests import carry, read_request, refusal

MOST_FOR_ONE: Final = 20
IDLE_SECONDS: Final = 1800.0
RelayOf = Callable[[str, TransportStreams], Awaitable[object]]


@dataclass(frozen=True)
class _Session:
    caller: str
    transport: StreamableHTTPServerTransport


@dataclass
class _Shared:
    """The relay for one agent's requests of the stateless era."""

    exchange: Exchange = field(default_factory=Exchange)
    used: float = field(default_factory=anyio.current_time)


class HttpSessions:
    """`relay` serves one client of a caller until it or the server behind it is gone."""

    def __init__(
        self, relay: RelayOf, *, most_for_one: int = MOST_FOR_ONE, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._relay = relay
        self._most = most_for_one
        self._idle = idle_seconds
        self._sessions: dict[str, _Session] = {}
        self._shared: dict[str, _Shared] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Serve while this is open; every session ends with it."""
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def handle(self, caller: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request of an authenticated caller."""
        version = Headers(scope=scope).get(MCP_PROTOCOL_VERSION_HEADER)
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            await self._handle_alone(caller, scope, receive, send)
            return
        session_id = Headers(scope=scope).get(MCP_SESSION_ID_HEADER)
        if session_id is None:
            await self._begin(caller, scope, receive, send)
            return
        session = self._sessions.get(session_id)
        if session is None or session.caller != caller:  # 1
            await refusal(INVALID_REQUEST, "Session not found", status=404)(scope, receive, send)
            return
        await session.transport.handle_request(scope, receive, send)
        if session.transport.is_terminated:
            self._sessions.pop(session_id, None)

    async def _begin(self, caller: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await Response(status_code=405, headers={"Allow": "POST"})(scope, receive, send)
            return
        if sum(session.caller == caller for session in self._sessions.values()) >= self._most:  # 3
            await _too_many(scope, receive, send)
            return
        session_id = secrets.token_hex(32)
        transport = StreamableHTTPServerTransport(
            mcp_session_id=session_id,
            # Host and Origin are checked for all doors alike, by `web.hosts`.
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
            idle_timeout=self._idle,
        )
        self._sessions[session_id] = _Session(caller, transport)
        connected = asyncio.Event()
        self._start(self._serve(caller, session_id, transport, connected))
        await connected.wait()
        statuses: list[int] = []

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            await send(message)

        try:
            await transport.handle_request(scope, receive, watched)
        finally:
            if not statuses or statuses[0] >= 400:
                await self._end(session_id, transport)

    async def _serve(
        self,
        caller: str,
        session_id: str,
        transport: StreamableHTTPServerTransport,
        connected: asyncio.Event,
    ) -> None:
        try:
            async with transport.connect() as front:
                connected.set()
                with transport.idle_scope or anyio.CancelScope():
                    await self._guarded(caller, front)
        finally:
            connected.set()
            await self._end(session_id, transport)

    async def _end(self, session_id: str, transport: StreamableHTTPServerTransport) -> None:
        self._sessions.pop(session_id, None)
        if not transport.is_terminated:
            with anyio.CancelScope(shield=True):
                await transport.terminate()

    async def _handle_alone(self, caller: str, scope: Scope, receive: Receive, send: Send) -> None:
        message = await read_request(scope, receive)
        if isinstance(message, Response):
            await message(scope, receive, send)
            return
        shared = self._shared.get(caller)
        if shared is None:  # 2
            shared = self._shared[caller] = _Shared()
            self._start(self._serve_alone(caller, shared))
        try:
            await carry(shared.exchange, message, receive, send)
        finally:
            shared.used = anyio.current_time()

    async def _serve_alone(self, caller: str, shared: _Shared) -> None:
        exchange = shared.exchange
        handing = asyncio.create_task(exchange.run())
        watching = asyncio.create_task(self._close_when_idle(shared))
        try:
            await self._guarded(caller, exchange.front)
        finally:
            if self._shared.get(caller) is shared:
                del self._shared[caller]
            watching.cancel()
            with anyio.CancelScope(shield=True):
                await exchange.close()
            handing.cancel()
            await asyncio.gather(handing, watching, return_exceptions=True)

    async def _close_when_idle(self, shared: _Shared) -> None:
        while True:
            left = shared.used + self._idle - anyio.current_time()
            if left <= 0 and not shared.exchange.busy:
                await shared.exchange.close()
                return
            await asyncio.sleep(max(left, self._idle / 10))

    async def _guarded(self, caller: str, front: TransportStreams) -> None:
        try:
            await self._relay(caller, front)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            # The client ended the session while something was said to it.
            return
        except Exception as error:
            structlog.get_logger(__name__).error("session_failed", error=f"{type(error).__name__}: {error}")

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    message = "This agent has too many open sessions. End some (DELETE), or wait until idle ones end."
    await refusal(INTERNAL_ERROR, message, status=503)(scope, receive, send)
