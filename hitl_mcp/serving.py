"""Runs an approval server: over HTTP with the dispatcher, or over stdio for one agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from hitl_mcp.application import Application
from hitl_mcp.settings import Settings
from hitl_mcp.tools.principal import ConfiguredPrincipal
from hitl_mcp.wiring import build_application
from server_kit.errors import ConfigurationError
from server_kit.http_serving import Address, bind, serve


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that says it runs on a home directory.

    `url` is the public one, `address` the one on this machine; `started` tells the process from a later one
    of its id.
    """

    pid: int
    started: str
    url: str
    address: str


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
        async with (
            build_application(settings) as application,
            _dispatching(application),
            _announced(settings),
        ):
            await serve(
                application.build_http_app(),
                Address(http.host, port),
                ready=None if ready is None else lambda _: ready(settings.http.url),
                stop=stop,
                listening=listening,
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
        known = {entry.name for entry in await application.agents.list() if entry.revoked_at is None}
        if agent not in known:
            raise ConfigurationError(
                f"agent (HITL_AGENT) has the value {agent!r}, which is no agent of this server; add it with "
                f"`hitl agents add {agent}`"
            )
        server = application.build_mcp_server(ConfiguredPrincipal(agent))
        if running_server(settings) is not None:
            await server.run_stdio_async()
            return
        async with _dispatching(application):
            await server.run_stdio_async()


def running_server(settings: Settings) -> RunningServer | None:
    """The server that is up on this home directory; None when none is, whatever an old file says."""
    try:
        stated: object = json.loads(settings.server_file.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(stated, dict):
        return None
    fields = cast("dict[str, Any]", stated)
    pid, started = fields.get("pid"), fields.get("started")
    url, address = fields.get("url"), fields.get("address")
    if not (
        isinstance(pid, int)
        and isinstance(started, str)
        and isinstance(url, str)
        and isinstance(address, str)
    ):
        return None
    alive = started and process_started(pid) == started
    return RunningServer(pid, started, url, address) if alive else None


def process_started(pid: int) -> str:
    """When a process started, in the kernel's terms; empty when there is none. Process ids are used again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    # Field 22 of proc(5), counted after the name in parentheses; a zombie answers nobody.
    return "" if fields[0] in {"Z", "X"} else fields[19]


@contextlib.asynccontextmanager
async def _dispatching(application: Application) -> AsyncGenerator[None]:
    running = asyncio.create_task(application.dispatcher.run(), name="dispatcher")
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@contextlib.asynccontextmanager
async def _announced(settings: Settings) -> AsyncGenerator[None]:
    http = settings.http
    local = http.model_copy(update={"public_url": None})
    own = RunningServer(os.getpid(), process_started(os.getpid()), http.url, local.url)
    file = settings.server_file
    temporary = file.with_name(f".{file.name}.{own.pid}")
    temporary.write_text(json.dumps(asdict(own)) + "\n")
    temporary.replace(file)
    try:
        yield
    finally:
        if running_server(settings) == own:
            file.unlink(missing_ok=True)
