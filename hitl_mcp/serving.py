"""Runs an approval server: over HTTP with the dispatcher, or over stdio for one agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict

from hitl_mcp.application import Application
from hitl_mcp.running_server import SERVER_FILE, RunningServer, find_running_server, process_started
from hitl_mcp.settings import Settings
from hitl_mcp.tools.principal import ConfiguredPrincipal
from hitl_mcp.wiring import build_application
from server_kit.errors import ConfigurationError
from server_kit.garbage import spare_what_is_loaded
from server_kit.http_serving import Address, bind, serve


async def serve_http(
    settings: Settings,
    *,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve over HTTP until SIGTERM, SIGINT or `stop`. `ready` is called with the public URL.

    Raises:
        ServerError: with one line on what stops the start.
    """
    http = settings.http
    listening = bind(Address(http.host, http.port))
    try:
        port: int = listening.getsockname()[1]
        settings = settings.model_copy(update={"http": http.model_copy(update={"port": port})})
        async with build_application(settings) as application, AsyncExitStack() as running:
            await application.audit.begin()
            await application.rules.load()
            await running.enter_async_context(application.warmed())
            await running.enter_async_context(_dispatching(application))
            await running.enter_async_context(_announced(settings))
            app = application.build_http_app()
            spare_what_is_loaded()
            await serve(
                app,
                Address(http.host, port),
                ready=None if ready is None else lambda _: ready(settings.http.url),
                stop=stop,
                listening=listening,
                ending=application.service.end_waiting,
            )
    finally:
        listening.close()


async def serve_stdio(settings: Settings) -> None:
    """Serve one agent (`HITL_AGENT`) over stdin and stdout until stdin ends.

    When a server is up on the same home directory it keeps dispatching, and this process only works on its
    database.

    Raises:
        ServerError: with one line on what stops the start.
    """
    agent = settings.agent
    if agent is None:
        raise ConfigurationError(
            "agent (HITL_AGENT) is not set: name the agent whose requests these are, as in `hitl agents list`"
        )
    async with build_application(settings) as application:
        await application.audit.begin()
        await application.rules.load()
        if not await application.agents.is_active(agent):
            raise ConfigurationError(
                f"agent (HITL_AGENT) has the value {agent!r}, which is no agent of this server; add it with "
                f"`hitl agents add {agent}`"
            )
        # The MCP SDK takes more than a second to import, which serving over HTTP pays later.
        from server_kit.stdio_streams import run_over_stdio

        server = application.build_mcp_server(ConfiguredPrincipal(agent, application.agents))
        async with application.warmed(), dispatching_unless_served(application):
            spare_what_is_loaded()
            await run_over_stdio(server)


@contextlib.asynccontextmanager
async def dispatching_unless_served(application: Application) -> AsyncGenerator[None]:
    """Deliver notifications in this process, unless a server is up on the same home and does it."""
    if find_running_server(application.settings.home) is not None:
        yield
        return
    async with _dispatching(application):
        yield


@contextlib.asynccontextmanager
async def _dispatching(application: Application) -> AsyncGenerator[None]:
    running = [
        asyncio.create_task(application.dispatcher.run(), name="dispatcher"),
        asyncio.create_task(application.canaries.run(), name="canaries"),
    ]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@contextlib.asynccontextmanager
async def _announced(settings: Settings) -> AsyncGenerator[None]:
    http = settings.http
    local = http.model_copy(update={"public_url": None})
    own = RunningServer(os.getpid(), process_started(os.getpid()), http.url, local.url)
    file = settings.home / SERVER_FILE
    temporary = file.with_name(f".{file.name}.{own.pid}")
    temporary.write_text(json.dumps(asdict(own)) + "\n")
    temporary.replace(file)
    try:
        yield
    finally:
        if find_running_server(settings.home) == own:
            file.unlink(missing_ok=True)
