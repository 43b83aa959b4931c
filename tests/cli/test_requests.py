"""An approver's terminal, on the database and over a running server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hitl_mcp.approvals.models import RiskLevel
from hitl_mcp.serving import serve_http
from hitl_mcp.settings import read_settings
from tests.cli.commands import CommandLine


@contextmanager
def server_up(cli: CommandLine) -> Iterator[str]:
    """A server on this home, in a thread with a loop of its own."""
    settings = read_settings(
        {"HITL_HOME": str(cli.home), "HITL_HTTP__PORT": "0", "HITL_CONSOLE__ENABLED": "false"}
    )
    started, urls, failures = threading.Event(), list[str](), list[BaseException]()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def ready(url: str) -> None:
        urls.append(url)
        started.set()

    async def serve() -> None:
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        await serve_http(settings, ready=ready, stop=stop)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failures.append(error)
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(30)
        assert failures == []
        yield urls[0]
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)


@pytest.fixture(params=["on the database", "over a server"])
def ada(request: pytest.FixtureRequest, cli: CommandLine) -> Iterator[CommandLine]:
    if request.param == "on the database":
        yield cli.with_password()
        return
    with server_up(cli):
        assert (cli.home / "server.json").exists()
        yield cli.with_password()


def test_what_is_pending_is_listed_and_shown_whole(ada: CommandLine) -> None:
    record = ada.ask("print('first')\nprint('last')", risk_level=RiskLevel.HIGH)
    listed = ada.json("pending")["requests"]
    assert [entry["request_id"] for entry in listed] == [record.request.request_id]
    shown = ada.json("show", record.request.request_id)
    assert shown["action_digest"] == record.request.action_digest
    assert shown["display_digest"] == record.request.display_digest
    text = ada.run("show", record.request.request_id).output
    for part in ("builder", "to know the answer", "print('first')", "print('last')", "high", "sha-256:"):
        assert part in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_approve_shows_everything_and_decides_what_was_shown(ada: CommandLine) -> None:
    request = ada.ask().request
    result = ada.run("approve", request.request_id, "--yes")
    assert result.exit_code == 0, result.output
    assert "print(6 * 7)" in result.output
    assert "APPROVED" in result.output
    shown = ada.json("show", request.request_id)
    assert [(each["person"], each["verdict"], each["channel"]) for each in shown["decisions"]] == [
        ("ada", "approve", "cli")
    ]


def test_deny_tells_the_reason(ada: CommandLine) -> None:
    request = ada.ask().request
    document = ada.json("deny", request.request_id, "--reason", "Not today.", "--yes")
    assert document["status"] == "DENIED"
    assert document["decisions"][0]["reason"] == "Not today."


def test_cancel_withdraws(ada: CommandLine) -> None:
    request = ada.ask().request
    assert ada.json("cancel", request.request_id, "--reason", "obsolete")["status"] == "CANCELLED"


def test_a_request_that_has_ended_is_not_decided_again(ada: CommandLine) -> None:
    request = ada.ask().request
    ada.run("deny", request.request_id, "--yes")
    again = ada.run("approve", request.request_id, "--yes")
    assert again.exit_code == 1
    assert "has ended: DENIED" in again.output


def test_without_a_terminal_nothing_is_decided_but_with_yes(ada: CommandLine) -> None:
    request = ada.ask().request
    result = ada.run("approve", request.request_id)
    assert result.exit_code == 2
    assert "--yes" in result.output
    assert ada.json("show", request.request_id)["status"] == "PENDING"


def test_a_wrong_password_decides_nothing(ada: CommandLine) -> None:
    request = ada.ask().request
    result = ada.run("approve", request.request_id, "--yes", HITL_PASSWORD="wrong horse battery")
    assert result.exit_code == 4
    assert "Traceback" not in result.output
    assert "wrong horse" not in result.output
    assert ada.json("show", request.request_id)["status"] == "PENDING"


def test_an_agents_key_is_no_password(ada: CommandLine) -> None:
    request = ada.ask().request
    key = ada.json("agents", "add", "sly")["api_key"]
    for person in ("ada", "sly", "builder"):
        result = ada.run("approve", request.request_id, "--yes", "--person", person, HITL_PASSWORD=key)
        assert result.exit_code == 4, person
    assert ada.json("show", request.request_id)["status"] == "PENDING"


def test_without_any_password_nobody_is_believed(cli: CommandLine) -> None:
    request = cli.ask().request
    result = cli.run("approve", request.request_id, "--yes")
    assert result.exit_code == 4
    assert "HITL_PASSWORD" in result.output


def test_an_unknown_request_is_one_line_and_exit_code_1(ada: CommandLine) -> None:
    result = ada.run("show", "req_nothing", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stderr)["exit_code"] == 1
    assert result.stdout == ""


def test_what_an_agent_writes_moves_no_cursor(ada: CommandLine) -> None:
    hostile = "\x1b[2J\x1b]0;title\x07 [bold red]big[/] \u202eevil\u200b :bomb: \r overwritten"
    request = ada.ask(f"# {hostile}\nprint(1)", justification=hostile, summary=hostile).request
    for command in (["pending"], ["show", request.request_id], ["approve", request.request_id, "--yes"]):
        text = ada.run(*command).output
        assert not {"\x1b", "\x07", "\u202e", "\u200b", "\r"} & set(text), command
    assert "[bold red]big[/]" in text
    assert ":bomb:" in text
