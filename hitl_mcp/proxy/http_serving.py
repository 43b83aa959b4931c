"""A proxy over streamable HTTP: the same guards as the main server, then sessions, each with a relay."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from mcp.client._transport import TransportStreams
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hitl_mcp.interface.principals import remembered_agent
from hitl_mcp.proxy.files import ProxyFiles
from hitl_mcp.proxy.http_callers import Callers
from hitl_mcp.proxy.http_sessions import HttpSessions
from hitl_mcp.proxy.patience import Patience
from hitl_mcp.proxy.serving import Upstream, relay_client
from hitl_mcp.web.authentication import Authentication
from hitl_mcp.web.hosts import HostGuard
from hitl_mcp.web.limits import BodyLimit
from hitl_mcp.web.problems import problem
from hitl_mcp.web.throttle import RefusalThrottle
from server_kit.clock import SystemClock
from server_kit.http_serving import Address, bind, serve

PATH: Final = "/mcp"
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
_NAMES: Final = "Give the URL it is reached at with --public-url."


def build_proxy_app(sessions: HttpSessions, callers: Callers, *, public_url: str) -> ASGIApp:
    """The door as one ASGI application; its lifespan ends the sessions."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with sessions.running():
            yield

    door: ASGIApp = Starlette(
        routes=[
            Route(PATH, endpoint=_Endpoint(sessions)),
            Route("/health", endpoint=_health, methods=["GET"]),
        ],
        lifespan=lifespan,
    )
    door = BodyLimit(door, limit=MAX_BODY_BYTES)
    door = Authentication(door, agents=callers, sessions=None, throttle=RefusalThrottle(SystemClock()))
    return HostGuard(door, public_url=public_url, advice=_NAMES)


async def serve_proxy_over_http(
    callers: Callers,
    upstream: Upstream,
    *,
    name: str,
    state: Path,
    patience: Patience,
    address: Address,
    public_url: str | None = None,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`. `ready` is called with the URL of the MCP endpoint.

    Raises:
        ServerError: with one line on what stops the start.
    """

    async def relay(caller: str, front: TransportStreams) -> bool:
        files = ProxyFiles(state, name, caller)
        return await relay_client(
            front, callers.engine(caller), upstream, files=files, name=name, patience=patience
        )

    listening: socket.socket = bind(address)
    try:
        here = Address(address.host, listening.getsockname()[1])
        url = (public_url or here.url).rstrip("/")
        await serve(
            build_proxy_app(HttpSessions(relay), callers, public_url=url),
            here,
            ready=None if ready is None else lambda _: ready(url + PATH),
            stop=stop,
            listening=listening,
        )
    finally:
        listening.close()


class _Endpoint:
    """An ASGI application as the endpoint of a route, for every method."""

    def __init__(self, sessions: HttpSessions) -> None:
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = remembered_agent(scope)
        if caller is None:
            refusal = problem(401, "credential_missing", "Send an agent's API key.")
            await refusal(scope, receive, send)
            return
        await self._sessions.handle(caller, scope, receive, send)


async def _health(_: object) -> JSONResponse:
    return JSONResponse({"status": "ok"})
