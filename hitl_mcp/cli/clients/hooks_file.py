"""Claude Code's settings file, where its hooks are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hitl_mcp.cli.clients.edits import FileEdit, read_text
from hitl_mcp.cli.clients.json_file import document_text, read_document
from hitl_mcp.cli.failures import CommandFailed, ExitCode

if TYPE_CHECKING:
    from pydantic import JsonValue

TIMEOUT_SECONDS: Final = 600
# What only reads is not held up; our own servers' tools ask people themselves.
MATCHER: Final = "Bash|Edit|MultiEdit|Write|NotebookEdit|WebFetch|mcp__(?!hitl__|hitl-executor__).*"
_EVENT: Final = "PreToolUse"
_OWN: Final = re.compile(r"(?:^|[/'\s])hitl'? hook(?:\s|$)")


def hook_command(program: str, environment: Mapping[str, str], agent: str) -> str:
    """The shell command that Claude Code runs."""
    settings = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    return " ".join([*settings, shlex.quote(program), "hook", "--agent", shlex.quote(agent)])


def settings_path(directory: Path) -> Path:
    """The file under a person's home or a project."""
    return directory / ".claude" / "settings.json"


def hook_snippet(command: str) -> str:
    """What to paste: the whole object with nothing but this hook."""
    return document_text({"hooks": {_EVENT: [_entry(command)]}}, None)


def plan_hook_edit(path: Path, command: str) -> FileEdit:
    """Enters the hook in place of an earlier one of ours, and leaves everything else as it is.

    Raises:
        CommandFailed: the file does not hold what Claude Code's settings do.
    """
    before = read_text(path)
    document = read_document(path, before)
    hooks = document.get("hooks", {})
    if not isinstance(hooks, dict):
        raise _malformed(path, "hooks", "an object")
    entries = hooks.get(_EVENT, [])
    if not isinstance(entries, list):
        raise _malformed(path, f"hooks.{_EVENT}", "a list")
    kept = [entry for entry in entries if not _is_own(entry)]
    after = document_text(
        {**document, "hooks": {**hooks, _EVENT: [*kept, _entry(command)]}},
        before,
    )
    return FileEdit(path, before, after)


def _entry(command: str) -> dict[str, JsonValue]:
    # Without onFailure a hook that cannot start, or takes too long, would let the call through.
    run: dict[str, JsonValue] = {
        "type": "command",
        "command": command,
        "timeout": TIMEOUT_SECONDS,
        "onFailure": "block",
    }
    return {"matcher": MATCHER, "hooks": [run]}


def _is_own(entry: JsonValue) -> bool:
    runs = entry.get("hooks") if isinstance(entry, dict) else None
    if not isinstance(runs, list) or len(runs) != 1 or not isinstance(runs[0], dict):
        return False
    command = runs[0].get("command")
    return isinstance(command, str) and _OWN.search(command) is not None


def _malformed(path: Path, where: str, kind: str) -> CommandFailed:
    return CommandFailed(
        f"{path}: {where!r} is not {kind}.",
        exit_code=ExitCode.USAGE,
        hint="Correct the file, or run with --print and paste the lines yourself.",
    )
