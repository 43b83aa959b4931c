"""Runs a proxy in front of a server that it starts or reaches by URL: over stdio, or for one client."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final
from urllib.parse import urlsplit

import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from hitl_mcp.gate.engine import ApprovalEngine
from hitl_mcp.processes import clean_environment
from hitl_mcp.proxy.definitions import Definitions
from hitl_mcp.proxy.files import ProxyFiles
from hitl_mcp.proxy.gatekeeper import Gatekeeper
from hitl_mcp.proxy.patience import Patience
from hitl_mcp.proxy.relay import Relay
from server_kit.errors import ConfigurationError
from server_kit.stdio_streams import open_stdio

_STARTERS: Final = frozenset(
    {
        "npx",
        "npm",
        "node",
        "bunx",
        "bun",
        "deno",
        "uvx",
        "uv",
        "run",
        "exec",
        "python",
        "python3",
        "env",
        "docker",
    }
)
_CONNECT_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Upstream:
    """The server behind the proxy: a command to start, or a URL with `headers` for every request to it."""

    command: tuple[str, ...] = ()
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def default_name(self) -> str:
        """The name that rules know it by, where none was given."""
        if self.url is not None:
            return urlsplit(self.url).hostname or self.url
        words = [word for word in self.command if not word.startswith("-")]
        named = [word for word in words if PurePath(word).name not in _STARTERS]
        return PurePath((named or words or ["server"])[0]).name

    def require_startable(self) -> None:
        """Raises ConfigurationError: there is no such command."""
        if self.command and shutil.which(self.command[0]) is None:
            raise ConfigurationError(f"{self.command[0]!r} cannot be started: there is no such command")

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[TransportStreams]:
        """Raises ConfigurationError: the command cannot be started."""
        if self.url is not None:
            timeout = httpx2.Timeout(_CONNECT_SECONDS, read=None)
            async with (
                httpx2.AsyncClient(headers=dict(self.headers), timeout=timeout) as http,
                streamable_http_client(self.url, http_client=http) as streams,
            ):
                yield streams
            return
        program, *arguments = self.command
        # None of our own settings and keys are the server's business.
        environment = clean_environment({})
        parameters = StdioServerParameters(command=program, args=arguments, env=environment, cwd=os.getcwd())
        started = False
        try:
            async with stdio_client(parameters) as streams:
                started = True
                yield streams
        except OSError as error:
            if started:
                raise
            raise ConfigurationError(f"{program!r} cannot be started: {error.strerror}") from error


async def serve_proxy(
    engine: ApprovalEngine, upstream: Upstream, *, name: str, state: Path, patience: Patience
) -> bool:
    """Serve one client over stdin and stdout. True when the client ended it, False when the server did."""
    files = ProxyFiles(state, name)
    async with upstream.open() as behind, open_stdio() as front:
        return await _relay(front, behind, engine, files, name, patience)


async def relay_client(
    front: TransportStreams,
    engine: ApprovalEngine,
    upstream: Upstream,
    *,
    files: ProxyFiles,
    name: str,
    patience: Patience,
) -> bool:
    """Serve one client that is there already, with a server of its own; ends like `serve_proxy`.

    Raises ConfigurationError: the command cannot be started.
    """
    async with upstream.open() as behind:
        return await _relay(front, behind, engine, files, name, patience)


async def _relay(
    front: TransportStreams,
    behind: TransportStreams,
    engine: ApprovalEngine,
    files: ProxyFiles,
    name: str,
    patience: Patience,
) -> bool:
    definitions = Definitions(files)
    gatekeeper = Gatekeeper(engine, name, definitions, files)
    return await Relay(front, behind, gatekeeper, definitions, engine, patience).run()
