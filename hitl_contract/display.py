"""The one deterministic rendering of an action for human eyes.

Every channel shows this text and nothing else of the action. Labels stand at the start of a line; every line
of the agent's own text stands behind a gutter or a label, so that it can never pass for a label. Different
actions have different texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import assert_never

from hitl_contract.action import Action
from hitl_contract.action_code import CodeExecution
from hitl_contract.action_files import FileReference
from hitl_contract.action_operations import FileChange, Generic, HttpRequest, ShellCommand, ToolCall
from hitl_contract.action_packages import PackageAddition
from hitl_contract.canonical import digest_of_bytes
from hitl_contract.display_code import code_lines
from hitl_contract.display_packages import package_headline, package_lines, package_warnings
from hitl_contract.display_parts import GUTTER, counted, json_lines, labelled, numbered
from hitl_contract.visible_text import escape_line, has_hidden_characters, has_lookalike_characters


@dataclass(frozen=True, slots=True)
class Display:
    """``text`` as shown, its digest (audited with the decision), one ``headline`` and what to beware of."""

    text: str
    digest: str
    headline: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The beginning of a display that fits a channel, and how many characters of it are not there."""

    text: str
    hidden_characters: int

    @property
    def complete(self) -> bool:
        """True where nothing is hidden; without it a channel offers no Approve button."""
        return self.hidden_characters == 0


def safe_text(text: str, *, multiline: bool = False) -> str:
    """Return agent-written text with everything invisible or deceptive shown as ``\\u{XXXX}``.

    Args:
        multiline: keep line breaks; otherwise they are escaped as well.
    """
    if multiline:
        return "\n".join(escape_line(line) for line in text.split("\n"))
    return escape_line(text)


def render_action(action: Action) -> Display:
    """Return what an approver sees of an action: all of it."""
    headline, lines = _headline(action), list(_lines(action))
    warnings = _warnings(action)
    text = "\n".join([headline, *(f"WARNING    {warning}" for warning in warnings), *lines]) + "\n"
    return Display(text, digest_of_bytes(text.encode("utf-8")), headline, warnings)


def headline_of(action: Action) -> str:
    """Return the headline alone, for lists: it costs little however large the action is."""
    return _headline(action)


def excerpt(display: Display, max_characters: int) -> Excerpt:
    """Return at most ``max_characters`` of a display, cut after a whole line where there is one."""
    if len(display.text) <= max_characters:
        return Excerpt(display.text, 0)
    cut = display.text[:max_characters]
    cut = cut[: cut.rfind("\n") + 1] or cut
    return Excerpt(cut, len(display.text) - len(cut))


def _headline(action: Action) -> str:
    match action:
        case CodeExecution():
            names = {"python": "Python", "nodejs": "Node.js", "bash": "Bash", "sql": "SQL"}
            lines = len(action.code.removesuffix("\n").split("\n"))
            reach = ", ".join(action.network.domains) or "no network"
            return f"Run {names[action.language]} code: {counted(lines, 'line')}, {reach}"
        case PackageAddition():
            return package_headline(action)
        case ShellCommand():
            return f"Run the command {escape_line(action.argv[0])}"
        case ToolCall():
            return f"Call the tool {escape_line(action.tool)} of {escape_line(action.server)}"
        case HttpRequest():
            return f"Send {action.method} to {escape_line(action.url)}"
        case FileChange():
            return f"Change the file {escape_line(action.path)}"
        case Generic():
            return f"Do {escape_line(action.operation)}"
        case _:  # pragma: no cover - the union is closed
            assert_never(action)


def _lines(action: Action) -> Iterator[str]:
    match action:
        case CodeExecution():
            yield from code_lines(action)
        case PackageAddition():
            yield from package_lines(action)
        case ShellCommand():
            yield labelled(
                "folder", "(the executor's own)" if action.cwd is None else f'"{escape_line(action.cwd)}"'
            )
            yield f"--- arguments: {len(action.argv)} ---"
            for index, argument in enumerate(action.argv):
                yield from _block(f"argument {index}", argument)
            yield from _pairs("environment", action.env)
        case ToolCall():
            yield labelled("server", escape_line(action.server))
            yield labelled("tool", escape_line(action.tool))
            yield from json_lines("arguments", action.arguments)
        case HttpRequest():
            yield labelled("method", action.method)
            yield labelled("address", escape_line(action.url))
            yield labelled("body", f"sha256 {action.body_sha256}" if action.body_sha256 else "(none)")
            yield from _pairs("headers", action.headers)
        case FileChange():
            yield labelled("file", escape_line(action.path))
            yield from _block("change", action.diff)
        case Generic():
            yield labelled("operation", escape_line(action.operation))
            yield from json_lines("details", action.details)
        case _:  # pragma: no cover - the union is closed
            assert_never(action)


def _block(label: str, text: str) -> Iterator[str]:
    yield f"--- {label}: {counted(len(text), 'character')} ---"
    yield from numbered(text)


def _pairs(label: str, pairs: dict[str, str]) -> Iterator[str]:
    yield f"--- {label}: {len(pairs)} ---"
    for name, value in sorted(pairs.items()):
        yield f"{GUTTER}{escape_line(name)}={escape_line(value)}"


def _warnings(action: Action) -> tuple[str, ...]:
    texts = list(_texts(action.model_dump()))
    warnings: list[str] = []
    if any(has_hidden_characters(text) for text in texts):
        warnings.append("holds invisible or control characters, shown as \\u{...}")
    if any(has_lookalike_characters(text) for text in texts):
        warnings.append("holds characters that look like others, shown as \\u{...}")
    if isinstance(action, CodeExecution) and any(len(line) > 500 for line in action.code.split("\n")):
        warnings.append("holds very long lines; read them to their end")
    if isinstance(action, CodeExecution) and any(isinstance(file, FileReference) for file in action.files):
        warnings.append(
            "takes files of earlier executions, told by their SHA-256; their content is not shown"
        )
    if isinstance(action, PackageAddition):
        warnings.extend(package_warnings(action))
    return tuple(warnings)


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _texts(key)  # pyright: ignore[reportUnknownArgumentType]
            yield from _texts(item)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list | tuple):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _texts(item)  # pyright: ignore[reportUnknownArgumentType]
