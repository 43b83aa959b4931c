"""The display of a program: what bounds it first, then the program, then all that it is given."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from hitl_contract.action_code import CodeExecution, Limits
from hitl_contract.action_files import FileReference, InputFile
from hitl_contract.canonical import canonical_json, digest_of_bytes
from hitl_contract.display_parts import GUTTER, counted, json_lines, labelled, numbered, quoted
from hitl_contract.visible_text import escape_line

_BASE64_COLUMNS = 76


def code_lines(action: CodeExecution) -> Iterator[str]:
    """Yield every line of a ``code_execution`` but its headline."""
    yield labelled(
        "network", "none" if not action.network.domains else "only " + ", ".join(action.network.domains)
    )
    yield labelled("packages", "; ".join(action.packages) or "none")
    yield labelled("limits", _limits(action.limits))
    yield labelled("profile", action.profile)
    yield labelled("image", action.runtime or "the executor's own")
    yield f"--- {action.language} code: {counted(len(action.code), 'character')} ---"
    yield from numbered(action.code)
    if action.input_data is not None:
        yield from json_lines("input data", action.input_data)
    for file in action.files:
        yield from _file_lines(file)


def _limits(limits: Limits) -> str:
    return (
        f"{_number(limits.wall_seconds)} s, {limits.memory_mb} MiB memory, {_number(limits.cpus)} cpu, "
        f"{limits.pids} processes, {limits.disk_mb} MiB disk, {limits.output_kb} KiB output"
    )


def _number(value: float) -> str:
    return canonical_json(value).decode("ascii")


def _file_lines(file: InputFile | FileReference) -> Iterator[str]:
    name = quoted(file.path)
    if isinstance(file, FileReference):
        yield f"--- file {name}: left by an earlier execution, not shown here ---"
        yield GUTTER + escape_line(file.reference)
        yield f"{GUTTER}sha256 {file.sha256}"
        return
    if file.content is not None:
        yield f"--- file {name}: text, {counted(len(file.content), 'character')} ---"
        yield from numbered(file.content)
        return
    encoded = file.content_base64 or ""
    content = base64.b64decode(encoded)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        yield f"--- file {name}: binary, {len(content)} bytes, {digest_of_bytes(content)}, as base64 ---"
        for start in range(0, len(encoded), _BASE64_COLUMNS):
            yield GUTTER + encoded[start : start + _BASE64_COLUMNS]
        return
    yield f"--- file {name}: text sent as base64, {counted(len(text), 'character')} ---"
    yield from numbered(text)
