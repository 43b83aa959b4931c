"""`hitl hook` as Claude Code runs it: a process that reads one event and answers it, or blocks."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hitl_mcp.processes import clean_environment, free_port
from tests.hook.test_events import EVENT
from tests.tools.served import Served, Template

HITL = str(Path(sys.executable).with_name("hitl"))


@dataclass(frozen=True)
class Ended:
    status: int
    output: str
    errors: str

    @property
    def said(self) -> dict[str, Any]:
        return json.loads(self.output)["hookSpecificOutput"]


async def start(environment: Mapping[str, str], *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        HITL,
        "hook",
        *options,
        env=clean_environment(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def run(environment: Mapping[str, str], *options: str, event: Any = EVENT) -> Ended:
    process = await start(environment, *options)
    raw = event if isinstance(event, bytes) else json.dumps(event).encode()
    async with asyncio.timeout(50):
        output, errors = await process.communicate(raw)
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(), errors.decode())


def with_key(server: Served) -> dict[str, str]:
    return {"HITL_HOME": str(server.settings.home), "HITL_API_KEY": server.keys["builder"]}


@pytest.mark.parametrize("event_name", ["PreToolUse", "PermissionRequest"])
async def test_a_call_is_made_when_a_person_approves_it(server: Served, event_name: str) -> None:
    waiting = asyncio.create_task(run(with_key(server), event=EVENT | {"hook_event_name": event_name}))
    pending = await server.one_pending()
    assert pending["agent"] == "builder"
    assert pending["action"]["cwd"] == "/work"
    await server.decide(pending["request_id"])
    ended = await waiting
    assert (ended.status, ended.errors) == (0, "")
    behavior = {"PreToolUse": "permissionDecision", "PermissionRequest": "decision"}[event_name]
    assert ended.said[behavior] in ("allow", {"behavior": "allow"})


async def test_the_same_call_is_answered_the_same_and_a_refused_one_says_why(server: Served) -> None:
    waiting = asyncio.create_task(run(with_key(server), "--url", server.url))
    await server.decide((await server.one_pending())["request_id"], "deny", reason="not today")
    first, second = await waiting, await run(with_key(server))
    assert first.said["permissionDecision"] == "deny"
    assert "not today" in first.said["permissionDecisionReason"]
    assert second == first


async def test_without_a_key_it_asks_on_the_home_itself_in_the_name_of_an_agent(server: Served) -> None:
    environment = {"HITL_HOME": str(server.settings.home), "HITL_CONSOLE__ENABLED": "false"}
    waiting = asyncio.create_task(run(environment, "--agent", "builder"))
    await server.decide((await server.one_pending())["request_id"])
    assert (await waiting).said["permissionDecision"] == "allow"


async def test_nobody_decided_is_a_denial_that_says_how_to_go_on(server: Served) -> None:
    ended = await run(with_key(server), "--wait", "0")
    assert ended.said["permissionDecision"] == "deny"
    assert "make the same call again" in ended.said["permissionDecisionReason"]


@pytest.mark.parametrize(
    ("options", "decision"), [((), "deny"), (("--ask-when-down",), "ask"), (("--agent", "a"), "deny")]
)
async def test_when_no_server_answers_the_call_is_denied_unless_asked_otherwise(
    tmp_path: Path, options: tuple[str, ...], decision: str
) -> None:
    environment = {"HITL_HOME": str(tmp_path), "HITL_API_KEY": "hitl_agent_x"}
    for url in ((), ("--url", f"http://127.0.0.1:{free_port()}")):
        ended = await run(environment, *options, *url)
        assert ended.status == 0
        assert ended.said["permissionDecision"] == decision
        assert "the approval server" in ended.said["permissionDecisionReason"] or "no server" in ended.output


async def test_a_server_that_refuses_the_key_is_never_an_ask(server: Served) -> None:
    environment = with_key(server) | {"HITL_API_KEY": "hitl_agent_wrong"}
    ended = await run(environment, "--ask-when-down")
    assert ended.said["permissionDecision"] == "deny"
    assert "401" in ended.said["permissionDecisionReason"]
    assert "hitl_agent_wrong" not in ended.output + ended.errors


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"behavior": "allow"}',
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"garbage\r\n\r\n",
        b"",
    ],
)
async def test_whatever_is_no_clear_yes_is_a_no(tmp_path: Path, answer: bytes) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as fake:
        port = fake.sockets[0].getsockname()[1]
        environment = {"HITL_HOME": str(tmp_path), "HITL_API_KEY": "k"}
        ended = await run(environment, "--url", f"http://127.0.0.1:{port}")
    assert ended.status == 0
    assert ended.said["permissionDecision"] == "deny"


@pytest.mark.parametrize(
    ("event", "options"),
    [
        (b"", ()),
        (b"no json", ()),
        (EVENT | {"hook_event_name": "Stop"}, ()),
        (b"[" * 100_000, ("--ask-when-down",)),
        (EVENT, ("--no-such-option",)),
        (EVENT, ("--wait", "long")),
    ],
)
async def test_what_it_does_not_understand_it_blocks(
    tmp_path: Path, event: Any, options: tuple[str, ...]
) -> None:
    ended = await run({"HITL_HOME": str(tmp_path)}, *options, event=event)
    assert ended.status == 2
    assert ended.output == ""
    assert ended.errors


async def test_an_event_without_a_tool_is_denied_in_the_events_own_form(tmp_path: Path) -> None:
    ended = await run({"HITL_HOME": str(tmp_path)}, event={"hook_event_name": "PreToolUse"})
    assert ended.said["permissionDecision"] == "deny"


async def test_being_stopped_while_waiting_blocks_the_call(server: Served) -> None:
    process = await start(with_key(server))
    assert process.stdin is not None
    process.stdin.write(json.dumps(EVENT).encode())
    process.stdin.close()
    await server.one_pending()
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"was not made" in errors


def test_it_loads_none_of_the_servers_libraries() -> None:
    program = "import sys, hitl_mcp.cli, hitl_mcp.hook.command; print(*sorted(sys.modules))"
    loaded = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    heavy = {"asyncio", "typer", "rich", "pydantic", "mcp", "fastapi", "sqlalchemy", "httpx2", "yaml"}
    assert loaded & heavy == set()


def test_the_homes_own_agents_alone_may_ask_without_a_key(template: Template, tmp_path: Path) -> None:
    home = template.copied(tmp_path / "home")
    ended = asyncio.run(run({"HITL_HOME": str(home)}, "--agent", "stranger", "--wait", "1"))
    assert ended.said["permissionDecision"] == "deny"
    assert "no agent" in ended.said["permissionDecisionReason"]


@pytest.mark.parametrize("given", ["<&-", "0>/dev/full"], ids=["no standard input", "one to write to"])
def test_what_it_cannot_read_it_blocks(given: str, tmp_path: Path) -> None:
    environment = clean_environment({"HITL_HOME": str(tmp_path)})
    ended = subprocess.run(
        ["sh", "-c", f'exec "$0" hook {given}', HITL], env=environment, capture_output=True
    )

    assert (ended.returncode, ended.stdout) == (2, b"")
