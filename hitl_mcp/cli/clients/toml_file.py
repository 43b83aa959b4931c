"""Codex keeps its servers as tables of a TOML file, which is edited as text: comments and order survive."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from hitl_mcp.cli.clients.edits import FileEdit, read_text
from hitl_mcp.cli.clients.entries import Entry, StdioEntry
from hitl_mcp.cli.failures import CommandFailed, ExitCode

TOOL_TIMEOUT_SECONDS = 300
_HEADER = re.compile(r"^\s*\[")


def snippet(entries: Sequence[Entry]) -> str:
    """What to paste: one table for each server."""
    return "\n".join(_table(entry) for entry in entries)


def plan_edit(path: Path, entries: Sequence[Entry]) -> FileEdit:
    """Replaces or appends one table for each server.

    Raises:
        CommandFailed: the file is not TOML, or the edit would touch anything but these tables.
    """
    before = read_text(path)
    original = _parse(path, before or "")
    text = before or ""
    for entry in entries:
        text = _without_table(text, entry.name)
    text = text.rstrip("\n") + "\n\n" if text.strip() else ""
    after = text + snippet(entries)
    _require_only_these_changed(path, original, _parse(path, after), entries)
    return FileEdit(path, before, after)


def _table(entry: Entry) -> str:
    lines = [f"[mcp_servers.{entry.name}]"]
    if isinstance(entry, StdioEntry):
        lines.append(f"command = {_string(entry.command)}")
        lines.append(f"args = [{', '.join(_string(argument) for argument in entry.arguments)}]")
        if entry.environment:
            pairs = ", ".join(f"{name} = {_string(value)}" for name, value in entry.environment.items())
            lines.append(f"env = {{ {pairs} }}")
    else:
        lines.append(f"url = {_string(entry.url)}")
        if entry.key_variable is not None:
            lines.append(f"bearer_token_env_var = {_string(entry.key_variable)}")
    # People take longer than the client's default minute.
    lines.append(f"tool_timeout_sec = {TOOL_TIMEOUT_SECONDS}")
    return "\n".join(lines) + "\n"


def _string(value: str) -> str:
    # A JSON string is a TOML basic string, but for DEL, which JSON leaves bare.
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")


def _without_table(text: str, name: str) -> str:
    own = re.compile(rf"^\s*\[\s*mcp_servers\s*\.\s*(?:{re.escape(name)}|\"{re.escape(name)}\")\s*[.\]]")
    kept: list[str] = []
    dropping = False
    for line in text.splitlines(keepends=True):
        if _HEADER.match(line):
            dropping = own.match(line) is not None
        if not dropping:
            kept.append(line)
    return "".join(kept)


def _parse(path: Path, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CommandFailed(
            f"{path} is not TOML: {error}.",
            exit_code=ExitCode.USAGE,
            hint="Correct the file, or run with --print and paste the lines yourself.",
        ) from error


def _require_only_these_changed(
    path: Path, before: dict[str, object], after: dict[str, object], entries: Sequence[Entry]
) -> None:
    names = {entry.name for entry in entries}
    if _others(before, names) != _others(after, names):
        raise CommandFailed(
            f"{path} enters its MCP servers in a way that cannot be edited safely; it is left alone.",
            exit_code=ExitCode.USAGE,
            hint="Run with --print and paste the lines yourself.",
        )


def _others(document: dict[str, object], names: set[str]) -> dict[str, object]:
    servers = document.get("mcp_servers", {})
    rest = {key: value for key, value in document.items() if key != "mcp_servers"}
    if isinstance(servers, dict):
        rest["mcp_servers"] = {key: value for key, value in servers.items() if key not in names}  # pyright: ignore[reportUnknownVariableType]
    return rest
