"""Puts the HTTP doors together: guards outside, then REST, the MCP endpoint and the pages.

From outside to inside a request meets: its own address (`addresses`), the host guard (`hosts`), the counters
(`metrics`), authentication from its headers (`authentication`), the size limit (`limits`), its route.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

import httpx2
from fastapi import FastAPI
from mcp.server.mcpserver import MCPServer
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hitl_contract.errors import ContractError
from hitl_mcp.errors import HitlError
from hitl_mcp.interface.arguments import InvalidArguments
from hitl_mcp.web.addresses import ClientAddress, Network
from hitl_mcp.web.api.actions import action_routes
from hitl_mcp.web.api.approvals import approval_routes
from hitl_mcp.web.api.attention import attention_routes
from hitl_mcp.web.api.audit import audit_routes
from hitl_mcp.web.api.changes import change_routes
from hitl_mcp.web.api.delegations import delegation_routes
from hitl_mcp.web.api.execute import ExecutorGateway, execute_routes
from hitl_mcp.web.api.grants import grant_routes
from hitl_mcp.web.api.operations import operation_routes
from hitl_mcp.web.api.permissions import permission_routes
from hitl_mcp.web.api.questions import question_routes
from hitl_mcp.web.api.sessions import session_routes
from hitl_mcp.web.authentication import Authentication
from hitl_mcp.web.hosts import HostGuard
from hitl_mcp.web.limits import BodyLimit
from hitl_mcp.web.metrics import Metrics
from hitl_mcp.web.parts import WebParts
from hitl_mcp.web.problems import problem_of
from hitl_mcp.web.throttle import RefusalThrottle
from server_kit.audit_metrics import WitnessLag
from server_kit.errors import ServerError
from server_kit.problems import install_problem_handlers
from server_kit.trace_context import NO_TELEMETRY, TraceContextMiddleware


@dataclass(frozen=True)
class HttpOptions:
    """How the HTTP doors are set up. Sizes in bytes."""

    public_url: str
    executor_url: str
    allowed_hosts: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    trusted_proxies: tuple[Network, ...]
    max_body_bytes: int


def build_web_app(
    parts: WebParts, *, options: HttpOptions, mcp_server: MCPServer[object], pages: Sequence[BaseRoute]
) -> ASGIApp:
    """The whole HTTP door as one ASGI application; its lifespan runs the MCP endpoint."""
    metrics, client = Metrics(), httpx2.AsyncClient()
    metrics.registry.register(WitnessLag("hitl", lambda: parts.audit.witness_state))
    mcp_endpoint = _mcp_endpoint(mcp_server, options)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with client, _running(mcp_endpoint):
            yield

    api = FastAPI(
        title="hitl-mcp",
        version=version("hitl-mcp"),
        summary="Human approval for AI agents",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Its spans have whole paths, and its logs what was sent.
        telemetry=NO_TELEMETRY,
    )
    install_problem_handlers(api)
    for kind in (HitlError, ContractError, InvalidArguments, ServerError):
        api.add_exception_handler(kind, _answer_problem)
    gateway = ExecutorGateway(client, options.executor_url)
    for router in (
        approval_routes(parts),
        change_routes(parts),
        action_routes(parts),
        permission_routes(parts),
        question_routes(parts),
        audit_routes(parts),
        attention_routes(parts),
        delegation_routes(parts),
        grant_routes(parts),
        session_routes(parts),
        execute_routes(parts, gateway),
        operation_routes(parts, metrics, api),
    ):
        api.include_router(router)
    for path in ("/mcp", "/mcp/"):
        api.router.routes.append(Route(path, endpoint=_Endpoint(mcp_endpoint), include_in_schema=False))
    api.router.routes.extend(pages)

    door: ASGIApp = BodyLimit(TraceContextMiddleware(api), limit=options.max_body_bytes)
    door = Authentication(
        door, agents=parts.agents, sessions=parts.sessions, throttle=RefusalThrottle(parts.clock)
    )
    door = metrics.watch(door)
    door = HostGuard(
        door,
        public_url=options.public_url,
        hosts=options.allowed_hosts,
        origins=options.allowed_origins,
    )
    return ClientAddress(door, trusted_proxies=options.trusted_proxies)


class _Endpoint:
    """An ASGI application as the endpoint of a route, for every method."""

    def __init__(self, manager: StreamableHTTPSessionManager) -> None:
        self._manager = manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._manager.handle_request(scope, receive, send)


def _mcp_endpoint(mcp_server: MCPServer[object], options: HttpOptions) -> StreamableHTTPSessionManager:
    mcp_server.streamable_http_app(
        # No session is kept, so any replica can answer any request; progress streams within its own request.
        stateless_http=True,
        max_request_body_size=options.max_body_bytes,
        # Host and Origin are checked for all doors alike, by `hosts`.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    return mcp_server.session_manager


def _running(manager: StreamableHTTPSessionManager) -> AbstractAsyncContextManager[None]:
    return manager.run()


async def _answer_problem(_: Request, error: Exception) -> Response:
    return problem_of(error)
