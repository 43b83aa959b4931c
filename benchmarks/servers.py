"""Starts what is measured, each as a process of its own, as a user would."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2

PERSON = "bench-person"
AGENT = "bench-agent"
START_SECONDS = 60.0

_BIN = Path(sys.executable).parent


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Home:
    """A set-up approval server's directory, its approver's password and its agent's key."""

    path: Path
    password: str
    api_key: str
    shared_database: Path | None = None

    def replica(self, path: Path) -> Home:
        """A second server's home with the same keys and the same database; made while nothing serves."""
        shutil.copytree(self.path, path)
        return replace(self, path=path, shared_database=self.path / "hitl.db")

    def environment(self, port: int | None = None) -> dict[str, str]:
        variables = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("HITL_", "EXECUTOR_"))
            },
            "HITL_HOME": str(self.path),
            "HITL_INIT_PASSWORD": self.password,
            # Cards on a console nobody reads would only add noise to what is measured.
            "HITL_CONSOLE__ENABLED": "false",
            "HITL_LOG__LEVEL": "warning",
        }
        if self.shared_database is not None:
            variables["HITL_DATABASE_URL"] = f"sqlite+aiosqlite:///{self.shared_database}"
        if port is not None:
            variables["HITL_HTTP__PORT"] = str(port)
        return variables


def make_home(path: Path) -> Home:
    """Run `hitl init` and `hitl agents add` in a new directory."""
    blank = Home(path, secrets.token_urlsafe(16), "")
    _run([str(_BIN / "hitl"), "init", "--person", PERSON, "--rules", "none"], blank)
    added = _run([str(_BIN / "hitl"), "agents", "add", AGENT, "--json"], blank)
    return Home(path, blank.password, str(json.loads(added)["api_key"]))


def stdio_command(home: Home) -> tuple[str, list[str], dict[str, str]]:
    """How an agent would start the approval server itself."""
    return str(_BIN / "hitl"), ["mcp", "--agent", AGENT], home.environment()


@asynccontextmanager
async def serving(home: Home) -> AsyncGenerator[str]:
    """`hitl serve` on this home; yields its address."""
    port = free_port()
    async with _process(
        [str(_BIN / "hitl"), "serve"], home.environment(port), f"http://127.0.0.1:{port}/ready"
    ):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def serving_process(home: Home) -> AsyncGenerator[int]:
    """`hitl serve` on this home; yields its process id."""
    port = free_port()
    async with _process(
        [str(_BIN / "hitl"), "serve"], home.environment(port), f"http://127.0.0.1:{port}/ready"
    ) as process:
        yield process.pid


@asynccontextmanager
async def floor_serving() -> AsyncGenerator[str]:
    """The floor server over HTTP; yields its address."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.floor", str(port)]
    async with _process(command, dict(os.environ), f"http://127.0.0.1:{port}/mcp"):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def _process(
    command: list[str], environment: dict[str, str], probe: str
) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await _until_answering(process, probe)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _until_answering(process: asyncio.subprocess.Process, probe: str) -> None:
    async with asyncio.timeout(START_SECONDS), httpx2.AsyncClient() as client:
        while True:
            if process.returncode is not None:
                raise RuntimeError(
                    f"the server ended with {process.returncode} before it answered at {probe}"
                )
            try:
                # Any answer will do: the floor refuses a GET, which shows that it is there.
                if (await client.get(probe)).status_code < 500:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.05)


def _run(command: list[str], home: Home) -> str:
    result = subprocess.run(command, env=home.environment(), capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {result.returncode}: {result.stderr}")
    return result.stdout
