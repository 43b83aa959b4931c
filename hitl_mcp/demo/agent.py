"""The agent's place in the story: a real MCP client, with an agent's key and nothing more."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

CALL_SECONDS = 300.0


class CallRefused(Exception):
    """A tool answered with an error; `str()` is what the agent was told."""


class McpAgent:
    """Calls tools of one server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def call(
        self, tool: str, arguments: dict[str, Any], *, on_progress: Callable[[str], None] | None = None
    ) -> dict[str, Any]:
        """The tool's structured answer.

        Raises:
            CallRefused: with the tool's own words.
        """

        async def progressed(progress: float, total: float | None, message: str | None) -> None:
            del progress, total
            if on_progress is not None and message:
                on_progress(message)

        result = await self._client.call_tool(
            tool, arguments, read_timeout_seconds=CALL_SECONDS, progress_callback=progressed
        )
        if result.is_error:
            raise CallRefused(" ".join(part.text for part in result.content if isinstance(part, TextContent)))
        return cast("dict[str, Any]", result.structured_content or {})


@asynccontextmanager
async def connect_agent(url: str, *, api_key: str | None) -> AsyncGenerator[McpAgent]:
    """An MCP session over streamable HTTP."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(CALL_SECONDS, connect=10.0)) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
    ):
        yield McpAgent(client)
