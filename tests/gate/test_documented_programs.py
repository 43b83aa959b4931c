"""The programs in docs/agents.md do what the page says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hitl_mcp.wiring import build_application
from tests.architecture.snippets import Snippet, snippets
from tests.tools.served import Served


@pytest.mark.parametrize("snippet", snippets("python"), ids=lambda snippet: snippet.name)
async def test_a_documented_program_runs(
    server: Served, snippet: Snippet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with build_application(server.settings) as application:
        await application.agents.add("report-robot")
    monkeypatch.setenv("HITL_HOME", str(server.settings.home))
    monkeypatch.setenv("HITL_CONSOLE__ENABLED", "false")
    names: dict[str, Any] = {"__name__": "documented"}
    exec(compile(snippet.body, snippet.name, "exec"), names)
    running = asyncio.create_task(names["main"]())
    while not running.done():
        for pending in await server.pending():
            await server.decide(pending["request_id"])
        await asyncio.wait({running}, timeout=0.1)
    running.result()


def test_there_are_such_programs() -> None:
    assert len(snippets("python")) >= 3
