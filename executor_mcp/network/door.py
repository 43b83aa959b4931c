"""The door of one execution: a socket that its sandbox alone can reach, and the proxy process behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import TypeAdapter, ValidationError

from executor_mcp.sandbox.base import Connection
from executor_mcp.sandbox.errors import SandboxUnavailable
from executor_mcp.sandbox.host_directories import DOOR_SOCKET
from executor_mcp.sandbox.host_limits import why_not_started
from executor_mcp.sandbox.host_users import user_of_its_own
from executor_mcp.sandbox.owned_directories import (
    listen_to_sandbox,
    make_owned_directory,
    remove_left_directories,
)
from executor_mcp.sandbox.owner import Owner

PROXY_PROGRAM = (sys.executable, "-P", "-m", "executor_mcp.network.proxy_process")
READY_SECONDS = 20.0
_CLOSE_SECONDS = 4.0
_PREFIX = "hitl-door-"
_LINE_BYTES = 4096
MOST_CONNECTIONS = 1000


@dataclass(frozen=True)
class _Line:
    """What the proxy knows of one connection now; a later line of the same number replaces it."""

    number: int
    connection: Connection


_LINES: TypeAdapter[_Line] = TypeAdapter(_Line)


class EgressDoor:
    """1. The directory can be entered by this process's user alone; a sandbox gets the one inside mounted.
    2. The socket is the credential: whoever has another one has another proxy, with other names.
    3. The proxy is told the names on its input, and ends with it, also when this process dies.
    """

    def __init__(
        self, root: Path, process: asyncio.subprocess.Process, lines: asyncio.Task[tuple[Connection, ...]]
    ) -> None:
        self._root = root
        self._process = process
        self._lines = lines
        self._ready: asyncio.Event = asyncio.Event()

    @property
    def directory(self) -> Path:
        """What the sandbox sees."""
        return self._root / "in"

    @classmethod
    async def open(
        cls,
        domains: Sequence[str],
        ports: Sequence[int],
        *,
        cpu_seconds: float,
        program: Sequence[str] = PROXY_PROGRAM,
        most_connections: int = MOST_CONNECTIONS,
    ) -> EgressDoor:
        """The socket is there; the proxy may still be on its way. Raises SandboxUnavailable."""
        root = make_owned_directory(_PREFIX, Owner.current())
        try:
            with listen_to_sandbox(root / "in", DOOR_SOCKET, backlog=64) as listener:
                process = await _spawn(program, listener)
        except OSError as error:
            shutil.rmtree(root, ignore_errors=True)
            why = why_not_started(error)
            raise SandboxUnavailable(f"the egress proxy could not be started: {why}") from error
        orders = {
            "domains": [*domains],
            "ports": [*ports],
            "user": user_of_its_own() if os.geteuid() == 0 else None,
            "connections": most_connections,
            "cpu_seconds": max(5, round(cpu_seconds)),
        }
        writer = cast("asyncio.StreamWriter", process.stdin)
        writer.write(json.dumps(orders).encode() + b"\n")
        ready = asyncio.Event()
        door = cls(root, process, asyncio.create_task(_read_lines(process, ready)))
        door._ready = ready
        return door

    async def ready(self) -> None:
        """Returns when the proxy serves. Raises SandboxUnavailable."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                waiting = asyncio.create_task(self._ready.wait())
                try:
                    await asyncio.wait((waiting, self._lines), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waiting.cancel()
        except TimeoutError as error:
            raise SandboxUnavailable(f"the egress proxy was not ready within {READY_SECONDS:g} s") from error
        if not self._ready.is_set():
            raise SandboxUnavailable("the egress proxy ended before it was ready; is proxy.py installed?")

    async def close(self) -> tuple[Connection, ...]:
        """Ends the proxy; every connection that there was."""
        cast("asyncio.StreamWriter", self._process.stdin).close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.shield(self._lines)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        finally:
            await asyncio.to_thread(shutil.rmtree, self._root, ignore_errors=True)
        connections = await self._lines
        await self._process.wait()
        return connections


def remove_left_doors() -> int:
    """Of processes of this host that are gone; their proxies ended with them. The number removed."""
    return remove_left_directories(_PREFIX)


async def _spawn(program: Sequence[str], listener: socket.socket) -> asyncio.subprocess.Process:
    kept = ("PATH", "LANG", "PYTHONPATH")
    return await asyncio.create_subprocess_exec(
        *program,
        str(listener.fileno()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd="/",
        env={name: os.environ[name] for name in kept if name in os.environ},
        pass_fds=(listener.fileno(),),
        start_new_session=True,
        limit=_LINE_BYTES,
    )


async def _read_lines(process: asyncio.subprocess.Process, ready: asyncio.Event) -> tuple[Connection, ...]:
    """To the end of the output, whatever comes: the proxy speaks with the program and may be led astray."""
    found: dict[int, Connection] = {}
    reader = cast("asyncio.StreamReader", process.stdout)
    while True:
        try:
            line = await reader.readline()
        except ValueError:
            continue
        if not line:
            return tuple(found.values())
        if not ready.is_set():
            if line == b"ready\n":
                ready.set()
            continue
        with contextlib.suppress(ValidationError):
            one = _LINES.validate_json(line)
            if one.number in found or len(found) <= MOST_CONNECTIONS:
                found[one.number] = one.connection
