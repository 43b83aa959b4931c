"""Clients that keep their servers in a JSON object: Claude Code, Claude Desktop, Cursor, VS Code."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hitl_mcp.cli.clients.edits import FileEdit, read_text
from hitl_mcp.cli.clients.entries import Entry, StdioEntry
from hitl_mcp.cli.failures import CommandFailed, ExitCode

if TYPE_CHECKING:
    from pydantic import JsonValue


@dataclass(frozen=True)
class JsonStyle:
    """How one client spells things. `key_reference` formats "the value of the variable {0}"."""

    servers_key: str
    names_type: bool
    key_reference: str
    over_http: bool = True


def entry_document(style: JsonStyle, entry: Entry) -> dict[str, JsonValue]:
    """The value that stands under the server's name."""
    document: dict[str, JsonValue] = {}
    if isinstance(entry, StdioEntry):
        if style.names_type:
            document["type"] = "stdio"
        document["command"] = entry.command
        document["args"] = list(entry.arguments)
        document["env"] = dict(entry.environment)
        return document
    if style.names_type:
        document["type"] = "http"
    document["url"] = entry.url
    if entry.key_variable is not None:
        document["headers"] = {"Authorization": f"Bearer {style.key_reference.format(entry.key_variable)}"}
    return document


def snippet(style: JsonStyle, entries: Sequence[Entry]) -> str:
    """What to paste: the whole object with nothing but these servers."""
    return _dump({style.servers_key: {entry.name: entry_document(style, entry) for entry in entries}}, "  ")


def plan_edit(path: Path, style: JsonStyle, entries: Sequence[Entry]) -> FileEdit:
    """Enters the servers and leaves every other key as it is.

    Raises:
        CommandFailed: the file does not hold a JSON object, or holds comments, which would be lost.
    """
    before = read_text(path)
    document = read_document(path, before)
    servers = document.get(style.servers_key, {})
    if not isinstance(servers, dict):
        raise CommandFailed(
            f"{path}: {style.servers_key!r} is not an object.",
            exit_code=ExitCode.USAGE,
            hint="Correct the file, or run with --print and paste the lines yourself.",
        )
    merged: dict[str, JsonValue] = {
        **servers,
        **{entry.name: entry_document(style, entry) for entry in entries},
    }
    return FileEdit(path, before, document_text({**document, style.servers_key: merged}, before))


def document_text(document: JsonValue, before: str | None) -> str:
    """The document as text, indented and ended as the file was before."""
    after = _dump(document, _indent_of(before))
    return after.removesuffix("\n") if before is not None and not before.endswith("\n") else after


def read_document(path: Path, text: str | None) -> dict[str, JsonValue]:
    """The JSON object in a file's text; empty where there is no file.

    Raises:
        CommandFailed: it holds none, or holds comments, which would be lost.
    """
    if text is None or not text.strip():
        return {}
    try:
        document: object = json.loads(text)
    except ValueError as error:
        raise CommandFailed(
            f"{path} is not plain JSON ({error}); comments could not be kept, so it is left alone.",
            exit_code=ExitCode.USAGE,
            hint="Run with --print and paste the lines yourself.",
        ) from error
    if not isinstance(document, dict):
        raise CommandFailed(
            f"{path} does not hold a JSON object.",
            exit_code=ExitCode.USAGE,
            hint="Correct the file, or run with --print and paste the lines yourself.",
        )
    return cast("dict[str, JsonValue]", document)


def _indent_of(text: str | None) -> str:
    found = re.search(r"^\{\r?\n([ \t]+)\S", text or "")
    return found.group(1) if found else "  "


def _dump(document: JsonValue, indent: str) -> str:
    return json.dumps(document, indent=indent, ensure_ascii=False) + "\n"
