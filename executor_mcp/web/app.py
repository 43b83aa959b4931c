"""The whole HTTP door as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fastapi import FastAPI
from mcp.server.transport_security import RequestBodyLimitMiddleware, TransportSecuritySettings
from starlette.types import ASGIApp

from executor_mcp.assembly import Executor
from executor_mcp.package_version import package_version
from executor_mcp.server import build_server
from executor_mcp.settings import HttpSettings
from executor_mcp.tools.caller import BearerCaller
from executor_mcp.web.api import api_router
from executor_mcp.web.api_keys import ApiKeyMiddleware
from executor_mcp.web.operations import operations_router
from executor_mcp.web.problems import install
from server_kit.trace_context import NO_TELEMETRY, TraceContextMiddleware


def build_app(executor: Executor, http: HttpSettings, *, require_api_key: bool) -> ASGIApp:
    """REST and operations, and MCP at /mcp with both protocol revisions."""
    server = build_server(executor.service, BearerCaller(), require_api_key=require_api_key)
    mcp = server.streamable_http_app(
        streamable_http_path="/mcp",
        # Nothing of a session is kept between requests, so any replica can answer the next one.
        stateless_http=True,
        max_request_body_size=http.max_body_bytes,
        transport_security=_transport_security(http),
    )

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncGenerator[None]:
        del application
        async with server.session_manager.run():
            yield

    application = FastAPI(
        title="Executor of approved programs",
        version=package_version(),
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        # Its spans have whole paths, with execution ids in them, and its logs what was sent.
        telemetry=NO_TELEMETRY,
    )
    install(application)
    application.include_router(api_router(executor.service))
    token = http.metrics_token
    application.include_router(
        operations_router(executor, metrics_token=None if token is None else token.get_secret_value())
    )
    application.mount("/", mcp)
    traced = TraceContextMiddleware(application)
    guarded = ApiKeyMiddleware(traced, agents=executor.ledger.agents, required=require_api_key)
    return RequestBodyLimitMiddleware(guarded, http.max_body_bytes)


def _transport_security(http: HttpSettings) -> TransportSecuritySettings:
    own = () if http.public_url is None else (urlsplit(http.public_url).netloc,)
    local = ("127.0.0.1:*", "localhost:*", "[::1]:*")
    return TransportSecuritySettings(
        allowed_hosts=[*local, *own, f"{http.host}:*", *http.allowed_hosts],
        allowed_origins=[*(f"http://{host}" for host in local), *http.allowed_origins],
    )
