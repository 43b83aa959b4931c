"""A proxy as a process of its own in front of the tests' MCP server, and a client in front of the proxy."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

from tests.tools.served import Served

UPSTREAM = str(Path(__file__).with_name("upstream.py"))
HITL = str(Path(sys.executable).with_name("hitl"))


def environment(server: Served, home: Path) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {
        **inherited,
        "HITL_HOME": str(home),
        "HITL_URL": server.url,
        "HITL_API_KEY": server.keys["builder"],
    }


def parameters(server: Served, book: Path, *options: str, **more: str) -> StdioServerParameters:
    book.mkdir(exist_ok=True)
    command = [sys.executable, UPSTREAM, str(book)]
    return StdioServerParameters(
        command=HITL,
        args=["proxy", "--name", "bank", *options, "--", *command],
        env={**environment(server, book / "home"), **more},
    )


@asynccontextmanager
async def proxied(
    server: Served, book: Path, *options: str, mode: str = "legacy", **callbacks: Any
) -> AsyncIterator[Client]:
    async with Client(parameters(server, book, *options), mode=mode, **callbacks) as client:
        yield client


def calls(book: Path) -> list[dict[str, Any]]:
    path = book / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def written(book: Path, entry: Mapping[str, Any]) -> None:
    async with asyncio.timeout(60):
        while entry not in calls(book):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.02)


def text(result: Any) -> str:
    return " ".join(getattr(part, "text", "") for part in result.content)
