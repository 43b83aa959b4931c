"""The calls that are measured: an agent's over MCP, a person's over REST."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from benchmarks.measuring import Measurements
from benchmarks.servers import PERSON, Home

_numbers = itertools.count()

# Long enough for the agent's call to be really waiting when the person clicks.
_SETTLE_SECONDS = 0.05


def action() -> dict[str, Any]:
    """A small program that was not asked about before."""
    return {"type": "code_execution", "language": "python", "code": f"print({next(_numbers)} * 7)"}


async def answer(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call a tool and return its structured answer."""
    result = await client.call_tool(tool, arguments)
    if result.is_error or result.structured_content is None:
        raise RuntimeError(f"{tool} failed: {result.content}")
    return dict(result.structured_content)


@asynccontextmanager
async def http_client(address: str, api_key: str | None = None) -> AsyncGenerator[Client]:
    """An MCP client over streamable HTTP."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120) as http,
        Client(streamable_http_client(f"{address}/mcp", http_client=http)) as client,
    ):
        yield client


@asynccontextmanager
async def stdio(command: str, arguments: list[str], environment: dict[str, str]) -> AsyncGenerator[Client]:
    """An MCP client that starts its server itself."""
    parameters = StdioServerParameters(command=command, args=arguments, env=environment)
    async with Client(stdio_client(parameters)) as client:
        yield client


@asynccontextmanager
async def person(address: str, home: Home) -> AsyncGenerator[httpx2.AsyncClient]:
    """A signed-in approver's REST client."""
    async with httpx2.AsyncClient(base_url=address, timeout=30) as client:
        session = await client.post("/api/v1/session", json={"person": PERSON, "password": home.password})
        session.raise_for_status()
        client.headers["Authorization"] = f"Bearer {session.json()['access_token']}"
        yield client


async def request(client: Client) -> dict[str, Any]:
    """Ask and do not wait."""
    return await answer(
        client, "request_approval", {"action": action(), "justification": "benchmark", "wait_seconds": 0}
    )


async def status(client: Client, request_id: str, wait_seconds: int = 0) -> dict[str, Any]:
    return await answer(client, "check_status", {"request_id": request_id, "wait_seconds": wait_seconds})


async def click_to_resume(
    measurements: Measurements, name: str, agent: Client, approver: httpx2.AsyncClient
) -> None:
    """From an approval being sent, and from its being decided, until the waiting agent holds its token.

    The moment of the decision is the one that the server recorded, before it was made durable.
    """
    asked = await request(agent)
    waiting = asyncio.create_task(status(agent, asked["request_id"], wait_seconds=30))
    await asyncio.sleep(_SETTLE_SECONDS)
    started = time.perf_counter()
    decided = asyncio.create_task(
        approver.post(
            f"/api/v1/approvals/{asked['request_id']}/approve", json={"action_digest": asked["action_digest"]}
        )
    )
    resumed = await waiting
    measurements.of(f"click to resume, {name}").add(time.perf_counter() - started)
    decided_at = datetime.fromisoformat(resumed["decisions"][0]["at"])
    measurements.of(f"decision to resume, {name}").add((datetime.now(UTC) - decided_at).total_seconds())
    (await decided).raise_for_status()
    if resumed["status"] != "APPROVED" or not resumed["capability_token"]:
        raise RuntimeError(f"the agent resumed with {resumed['status']} and no token")
