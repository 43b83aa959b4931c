"""A home whose keys are sealed, with the real commands: all of it works, and nothing on its disk signs."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.commands import HITL, PASSWORD, CommandLine, clean_environment
from tests.cli.test_starting import read_until, up

PASSPHRASE = "a passphrase that nobody knows"
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "0"},
    },
}


@pytest.fixture
def passphrase(tmp_path: Path) -> str:
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE)
    file.chmod(0o600)
    return str(file)


@pytest.fixture
def sealed(tmp_path: Path, passphrase: str) -> CommandLine:
    cli = CommandLine(tmp_path / "home")
    made = cli.run(
        *("init", "--person", "ada", "--rules", "none", "--seal"),
        HITL_INIT_PASSWORD=PASSWORD,
        HITL_NEW_PASSPHRASE_FILE=passphrase,
        HITL_PASSPHRASE_FILE=passphrase,
    )
    assert made.exit_code == 0, made.output
    return cli


@contextmanager
def passphrase_pipe() -> Generator[int]:
    """A file descriptor that gives the passphrase once."""
    reading, writing = os.pipe()
    os.write(writing, PASSPHRASE.encode())
    os.close(writing)
    try:
        yield reading
    finally:
        os.close(reading)


def assert_no_usable_key(home: Path) -> None:
    """Of all that whoever runs as the owner of these files can read."""
    for path in (found for found in home.rglob("*") if found.is_file()):
        content = path.read_bytes()
        assert b"PRIVATE KEY" not in content or "executor" in path.parts, path
        assert PASSPHRASE.encode() not in content, path
    names = {path.name for path in (home / "keys").iterdir()}
    assert all(name.endswith((".sealed", "sealed-keys.json")) for name in names), names


def published(url: str) -> set[str]:
    with urllib.request.urlopen(f"{url}/.well-known/jwks.json", timeout=5) as answer:
        return {key["kid"] for key in json.load(answer)["keys"]}


@pytest.mark.timeout(120)
def test_a_sealed_home_serves_rotates_and_shows_nobody_a_key(
    sealed: CommandLine, passphrase: str, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("another passphrase than that")
    wrong.chmod(0o600)
    refused = sealed.run("serve", HITL_PASSPHRASE_FILE=str(wrong))
    assert (refused.exit_code, refused.stderr.count("\n"), refused.stdout) == (2, 1, ""), refused.output
    assert "passphrase" in refused.stderr
    unasked = sealed.run("up")
    assert (unasked.exit_code, unasked.stderr.count("\n")) == (2, 1), unasked.output
    assert "HITL_PASSPHRASE_FD" in unasked.stderr

    with up(sealed, HITL_PASSPHRASE_FILE=passphrase) as (process, approval, _executor):
        read_until(process, "Ctrl-C")
        before = published(approval)
        rotated = sealed.json("keys", "rotate", "--yes", HITL_PASSPHRASE_FILE=passphrase)
        assert rotated["key_id"] not in before
        assert published(approval) == before | {rotated["key_id"]}
        added = sealed.run("agents", "add", "builder", HITL_PASSPHRASE_FILE=passphrase)
        assert added.exit_code == 0, added.output
        assert_no_usable_key(sealed.home)
        assert PASSPHRASE.encode() not in Path(f"/proc/{process.pid}/environ").read_bytes()

    with passphrase_pipe() as descriptor:
        agent = subprocess.Popen(
            [HITL, "mcp", "--agent", "builder"],
            env=clean_environment(HITL_HOME=str(sealed.home), HITL_PASSPHRASE_FD=str(descriptor)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[descriptor],
        )
        out, err = agent.communicate(json.dumps(HELLO) + "\n", timeout=50)
    assert '"hitl-mcp"' in out, err
    assert_no_usable_key(sealed.home)
