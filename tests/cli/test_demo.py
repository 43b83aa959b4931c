"""`hitl demo`, as people run it: the whole story with real servers, and nothing left of it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.commands import HITL, clean_environment

SECONDS = 170
STEPS = (
    "The request is stored",
    "The agent's own key cannot approve",
    "approved; the waiting agent had its token",
    "The approved program ran in the sandbox (bubblewrap)",
    "Its output streamed",
    "A changed program under a good token is refused",
    "The same token a second time is refused",
    "The first result can still be read",
    "A token signed by another key is refused",
    "A token whose claims were changed is refused",
    "A token that was never used, but has expired, is refused",
    "The audit chain of the approval server verifies",
    "The audit chain of the executor verifies",
    "The record knows one run and every refusal",
)


def environment(directory: Path) -> dict[str, str]:
    return clean_environment(TMPDIR=str(directory), TERM="xterm-256color")


def left_behind(directory: Path) -> list[str]:
    """Files in the directory for temporary ones, and processes that still work on them."""
    found = [str(path) for path in directory.iterdir()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                str(directory).encode() in (process / "environ").read_bytes()
                and int(process.name) != os.getpid()
            ):
                found.append((process / "cmdline").read_text())
        except (OSError, ValueError):
            continue
    return found


@pytest.mark.timeout(SECONDS)
def test_the_whole_story_holds_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    result = subprocess.run(
        [HITL, "demo", "--yes", "--sandbox", "bubblewrap"],
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for step in STEPS:
        assert step in result.stdout, step
    assert f"All {len(STEPS)} held" in result.stdout
    assert "\x1b" not in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
    assert left_behind(tmp_path) == []


WEAKNESS = """
import hitl_contract.verify as verify

def bind_anything(verified, action):
    return verify.VerifiedCapability(verified, action, verified.claims.action_digest)

verify.bind_action = bind_anything
"""


@pytest.mark.timeout(SECONDS)
def test_a_weakened_gate_ends_the_story_with_the_name_of_the_step(tmp_path: Path) -> None:
    weakness, temporary = tmp_path / "weakness", tmp_path / "temporary"
    for directory in (weakness, temporary):
        directory.mkdir()
    # Python imports this module by itself in every process of the story.
    (weakness / "sitecustomize.py").write_text(WEAKNESS)
    result = subprocess.run(
        [HITL, "demo", "--yes", "--sandbox", "bubblewrap"],
        env={**environment(temporary), "PYTHONPATH": str(weakness)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    assert "A changed program under a good token" in result.stderr
    assert left_behind(temporary) == []


@pytest.mark.timeout(SECONDS)
def test_a_person_at_a_terminal_decides(tmp_path: Path) -> None:
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [HITL, "demo", "--sandbox", "bubblewrap"],
        env=environment(tmp_path),
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
    )
    os.close(inside)
    seen = b""
    try:
        seen += read_terminal(terminal, b"[y/n]")
        os.write(terminal, b"perhaps\nn\n")
        seen += read_terminal(terminal, None)
        assert process.wait(30) == 1, seen.decode("utf-8", "replace")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait()
        os.close(terminal)
    assert b"nothing ran" in seen
    assert b"Traceback" not in seen
    assert left_behind(tmp_path) == []


@pytest.mark.timeout(SECONDS)
def test_ended_in_the_middle_it_leaves_nothing_behind(tmp_path: Path) -> None:
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [HITL, "demo", "--sandbox", "bubblewrap"],
        env=environment(tmp_path),
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
    )
    os.close(inside)
    read_terminal(terminal, b"[y/n]")
    process.send_signal(signal.SIGINT)
    seen = read_terminal(terminal, None)
    assert process.wait(30) == 128 + signal.SIGINT
    os.close(terminal)
    assert b"Traceback" not in seen
    assert left_behind(tmp_path) == []


def test_without_a_terminal_it_asks_for_yes(tmp_path: Path) -> None:
    result = subprocess.run(
        [HITL, "demo"],
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "--yes" in result.stderr
    assert left_behind(tmp_path) == []


def read_terminal(terminal: int, until: bytes | None) -> bytes:
    """What is printed up to `until`, or to the end."""
    seen, deadline = b"", time.monotonic() + SECONDS
    while time.monotonic() < deadline and (until is None or until not in seen):
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            seen += os.read(terminal, 65536)
        except OSError:
            return seen
    return seen
