"""What stops a start says so in one line, with an exit code; and what starts, starts both and stops both."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from hitl_mcp.processes import free_port
from hitl_mcp.running_server import find_running_server
from tests.cli.commands import HITL, CommandLine, clean_environment


def assert_one_clear_line(result: subprocess.CompletedProcess[str], exit_code: int, *parts: str) -> None:
    said = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == exit_code, result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert len(said) == 1, result.stderr
    for part in parts:
        assert part in said[0], said[0]


def test_a_corrupt_database_stops_the_start(cli: CommandLine) -> None:
    (cli.home / "hitl.db").write_bytes(b"this is not a database at all" * 1000)
    assert_one_clear_line(cli.process("serve"), 3, "hitl.db")


@pytest.mark.parametrize("file", ["audit.pem", "seal.key", "keyring.json"])
def test_a_wrong_key_file_stops_the_start_and_is_not_quoted(cli: CommandLine, file: str) -> None:
    (cli.home / "keys" / file).write_text("not-a-key-but-maybe-a-secret")
    result = cli.process("serve")
    assert_one_clear_line(result, 2, file)
    assert "maybe-a-secret" not in result.stderr


def test_a_key_that_others_can_read_stops_the_start(cli: CommandLine) -> None:
    (cli.home / "keys" / "audit.pem").chmod(0o644)
    assert_one_clear_line(cli.process("serve"), 2, "audit.pem", "chmod 600")


def test_a_port_in_use_stops_the_start(cli: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_one_clear_line(cli.process("serve", HITL_HTTP__PORT=port), 3, port, "in use")


def test_a_home_that_cannot_be_made_stops_init(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cli = CommandLine(tmp_path / "file" / "home")
    assert_one_clear_line(cli.process("init", HITL_INIT_PASSWORD="correct horse battery"), 3, "file")


def test_a_wrong_setting_is_named_with_its_value(cli: CommandLine) -> None:
    assert_one_clear_line(cli.process("serve", HITL_HTTP__PORT="many"), 2, "HITL_HTTP__PORT", "many")
    assert_one_clear_line(cli.process("serve", HITL_HTP__PORT="1"), 2, "HITL_HTP__PORT")


def test_an_unknown_agent_over_stdio_is_told_how_to_be_known(cli: CommandLine) -> None:
    assert_one_clear_line(cli.process("mcp", "--agent", "nobody"), 2, "nobody", "hitl agents add")


def test_a_missing_library_names_the_extra(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hitl_mcp.cli.local_application", None)
    result = cli.run("agents", "list")
    assert result.exit_code == 3
    assert "hitl-mcp[server]" in result.output


def test_help_and_usage_are_quick_and_documented() -> None:
    imported = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import hitl_mcp.cli"],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    loaded = {line.rpartition("|")[2].strip() for line in imported.splitlines()}
    heavy = {"sqlalchemy", "mcp", "fastapi", "httpx2", "pydantic", "slack_sdk", "alembic", "rich", "argon2"}
    assert not heavy & loaded
    usage = subprocess.run([HITL, "--help"], capture_output=True, text=True, check=True).stdout
    assert "Exit codes" in usage
    assert subprocess.run([HITL, "nonsense"], capture_output=True, check=False).returncode == 2


@contextlib.contextmanager
def up(cli: CommandLine, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    approval, executor = free_port(), free_port()
    variables = clean_environment(
        HITL_HOME=str(cli.home),
        HITL_HTTP__PORT=str(approval),
        HITL_EXECUTOR_URL=f"http://127.0.0.1:{executor}",
        PYTHONUNBUFFERED="1",
        **environment,
    )
    process = subprocess.Popen(
        [HITL, "up", "--sandbox", "bubblewrap"],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process, f"http://127.0.0.1:{approval}", f"http://127.0.0.1:{executor}"
    finally:
        if process.poll() is None:
            # Asked, not killed: both servers are processes of their own, which only a living `hitl up` stops.
            process.terminate()
            process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} was never said, but:\n{seen}")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_runs_both_servers_and_stops_both(cli: CommandLine, number: signal.Signals) -> None:
    with up(cli) as (process, approval, executor):
        welcome = read_until(process, "Ctrl-C")
        assert approval in welcome
        assert '"mcpServers"' in welcome
        assert answers(approval)
        assert answers(executor)
        running = find_running_server(cli.home)
        assert running is not None
        assert running.url == approval
        assert len(children(process.pid)) == 2
        process.send_signal(number)
        read_until(process, "Both servers have stopped")
        assert process.wait(30) == 0
        assert not answers(approval)
        assert not answers(executor)
        assert find_running_server(cli.home) is None


@pytest.mark.timeout(120)
def test_up_says_which_server_died_and_stops_the_other(cli: CommandLine) -> None:
    with up(cli) as (process, approval, executor):
        read_until(process, "Ctrl-C")
        running = find_running_server(cli.home)
        assert running is not None
        (executor_pid,) = set(children(process.pid)) - {running.pid}
        os.kill(executor_pid, signal.SIGKILL)
        said = read_until(process, "The executor ended by itself")
        assert "Traceback" not in said
        assert process.wait(30) == 3
        assert not answers(approval)
        assert not answers(executor)


@pytest.mark.timeout(120)
def test_servers_do_not_outlive_an_up_that_was_killed(cli: CommandLine) -> None:
    with up(cli) as (process, approval, executor):
        read_until(process, "Ctrl-C")
        assert len(children(process.pid)) == 2
        process.kill()
        process.wait(30)
        deadline = time.monotonic() + 30
        while (answers(approval) or answers(executor)) and time.monotonic() < deadline:
            pass
        assert not answers(approval)
        assert not answers(executor)


@pytest.mark.timeout(120)
def test_a_second_up_on_the_same_home_is_refused(cli: CommandLine) -> None:
    with up(cli) as (process, approval, _executor):
        read_until(process, "Ctrl-C")
        for command in ("up", "serve"):
            assert_one_clear_line(cli.process(command), 3, approval)
        assert answers(approval)


@pytest.mark.timeout(120)
def test_an_agent_over_stdio_uses_the_server_that_is_up(cli: CommandLine) -> None:
    with up(cli) as (process, approval, _executor):
        read_until(process, "Ctrl-C")
        hello = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "0"},
            },
        }
        agent = subprocess.Popen(
            [HITL, "mcp", "--agent", "builder"],
            env=clean_environment(HITL_HOME=str(cli.home), HITL_HTTP__PUBLIC_URL=approval),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(json.dumps(hello) + "\n")
        agent.stdin.flush()
        assert json.loads(agent.stdout.readline())["result"]["serverInfo"]["name"] == "hitl-mcp"
        agent.stdin.close()
        assert agent.wait(30) == 0
        agent.stdout.close()
        began = time.monotonic()
        assert answers(approval)
        assert time.monotonic() - began < 5
