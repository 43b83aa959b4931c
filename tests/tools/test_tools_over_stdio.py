"""The tools over stdio: a process of its own, as a client starts it, on both protocol revisions."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from hitl_mcp.running_server import SERVER_FILE, find_running_server
from hitl_mcp.serving import serve_stdio
from hitl_mcp.settings import Settings
from hitl_mcp.wiring import build_application
from server_kit.errors import ConfigurationError
from tests.tools.served import REVISIONS, Served, Template, asking, settings_for

PROGRAM = (
    "import asyncio, sys; from hitl_mcp.serving import serve_stdio; "
    "from hitl_mcp.settings import read_settings; from server_kit.logging import configure_logging; "
    "configure_logging(level='warning', format='text'); asyncio.run(serve_stdio(read_settings()))"
)


def process(settings: Settings, agent: str = "builder") -> StdioServerParameters:
    environment = {
        "PATH": os.environ["PATH"],
        "HITL_HOME": str(settings.home),
        "HITL_AGENT": agent,
        "HITL_CONSOLE__ENABLED": "false",
    }
    return StdioServerParameters(command=sys.executable, args=["-c", PROGRAM], env=environment)


@pytest.mark.parametrize("mode", REVISIONS)
async def test_a_decision_made_at_the_server_reaches_the_process(server: Served, mode: str) -> None:
    async with Client(process(server.settings), mode=mode) as client:
        assert "request_approval" in {tool.name for tool in (await client.list_tools()).tools}
        waiting = asyncio.create_task(client.call_tool("request_approval", asking()))
        pending = await server.one_pending()
        assert pending["agent"] == "builder"
        await server.decide(pending["request_id"])
        answer = (await waiting).structured_content
        assert answer["status"] == "APPROVED"
        assert answer["capability_token"]
        mistake = await client.call_tool("check_status", {})
    assert mistake.is_error
    assert "request_id: is missing" in mistake.content[0].text


@pytest.mark.parametrize("mode", REVISIONS)
async def test_it_works_alone_when_no_server_is_up(template: Template, tmp_path: Path, mode: str) -> None:
    settings = settings_for(template.copied(tmp_path / "home"))
    async with Client(process(settings), mode=mode) as client:
        asked = (await client.call_tool("request_approval", asking(wait_seconds=0))).structured_content
        checked = await client.call_tool("check_status", {"request_id": asked["request_id"]})
    assert checked.structured_content["status"] == "PENDING"
    assert find_running_server(settings.home) is None


async def test_a_server_says_that_it_is_up_and_takes_it_back(template: Template, tmp_path: Path) -> None:
    async with template.served(tmp_path / "home") as server:
        running = find_running_server(server.settings.home)
        assert running is not None
        assert running.url == server.url
        assert running.pid == os.getpid()
    assert find_running_server(server.settings.home) is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": 1}', '{"pid": 1, "started": "0", "url": "http://x", "address": "y"}']
)
async def test_a_file_left_behind_is_no_server(tmp_path: Path, content: str) -> None:
    settings = settings_for(tmp_path)
    (settings.home / SERVER_FILE).write_text(content)
    assert find_running_server(settings.home) is None


@pytest.mark.parametrize("agent", [None, "stranger"])
async def test_without_a_known_agent_it_does_not_start(
    template: Template, tmp_path: Path, agent: str | None
) -> None:
    home = template.copied(tmp_path / "home")
    settings = settings_for(home, **({"HITL_AGENT": agent} if agent else {}))
    with pytest.raises(ConfigurationError, match="HITL_AGENT"):
        await serve_stdio(settings)


@pytest.mark.parametrize("mode", REVISIONS)
async def test_a_revoked_agent_is_refused_in_the_middle_of_its_process(
    template: Template, tmp_path: Path, mode: str
) -> None:
    settings = settings_for(template.copied(tmp_path / "home"))
    async with Client(process(settings), mode=mode) as client:
        asked = (await client.call_tool("request_approval", asking(wait_seconds=0))).structured_content
        async with build_application(settings) as application:
            await application.agents.revoke("builder")
        for tool, arguments in (
            ("check_status", {"request_id": asked["request_id"]}),
            ("request_approval", asking("print(2)", wait_seconds=0)),
            ("list_requests", {}),
        ):
            refused = await client.call_tool(tool, arguments)
            assert refused.is_error
            assert "was revoked" in refused.content[0].text
