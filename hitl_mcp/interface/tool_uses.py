"""What Claude Code is about to do with one of its tools, as an Action, and an approver's edit as its input.

| tool | action |
|---|---|
| Bash | `shell_command`: its words when they are plain, `bash -c COMMAND` as soon as a shell would do more |
| Write, Edit, MultiEdit | `file_change` |
| WebFetch | `http_request` |
| mcp__SERVER__TOOL | `tool_call` |
| others, and inputs with a field not known here | `generic`: `claude-code.TOOL` with the whole input |

What the model says about its own call (`description`, WebFetch's `prompt`) and how long or where in the
background a command runs is no part of the action. Every other difference between two inputs is one between
their actions.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import JsonValue

from hitl_contract.action import Action, action_digest, parse_action
from hitl_contract.action_operations import FileChange, Generic, HttpRequest, ShellCommand, ToolCall
from hitl_contract.canonical import canonical_json, parse_strict_json
from hitl_contract.errors import InvalidAction
from hitl_mcp.errors import HitlError
from hitl_mcp.interface.edit_feedback import wanted_instead
from hitl_mcp.interface.edit_hunks import Hunk, HunkKind, read_hunks, write_hunks

_GENERIC: Final = "claude-code."
_SHELL: Final = ("bash", "-c")
# Claude Code starts a subagent with its own prompt, whatever input is answered (its issue 39814).
_KEEP_THEIR_INPUT: Final = frozenset({"Agent", "Task"})
_PROGRAM: Final = re.compile(r"[A-Za-z0-9_./-]+")
# Words that a shell takes for more than the name of a program: they run or read what follows them.
_SHELL_WORDS: Final = frozenset(
    {
        *(
            ".",
            "alias",
            "builtin",
            "cd",
            "command",
            "complete",
            "coproc",
            "declare",
            "enable",
            "eval",
            "exec",
        ),
        *("exit", "export", "fc", "function", "hash", "let", "local", "mapfile", "popd", "pushd", "read"),
        *("readarray", "readonly", "return", "set", "shift", "shopt", "source", "suspend", "then", "time"),
        *("trap", "typeset", "ulimit", "umask", "unalias", "unset", "wait", "bg", "fg", "jobs", "disown"),
        *("if", "elif", "else", "fi", "for", "while", "until", "do", "done", "case", "esac", "in", "select"),
    }
)


class EditRefused(HitlError):
    """An approver's edit has no form in which the tool could be called."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One call of a tool, as Claude Code describes it. `cwd` is the directory it works in, where known."""

    tool_name: str
    tool_input: Mapping[str, JsonValue]
    cwd: str | None = None


def action_of(use: ToolUse) -> Action:
    """The action that this call is.

    Raises:
        InvalidAction: it cannot be described exactly (too large, or no plain JSON).
    """
    try:
        document = _specific(use)
        if document is not None:
            return parse_action(document)
    except (InvalidAction, ValueError):
        # What does not fit its own kind is shown whole instead.
        pass
    operation = _GENERIC + use.tool_name
    return parse_action({"type": "generic", "operation": operation, "details": dict(use.tool_input)})


def approved_input(use: ToolUse, approved: Action) -> dict[str, JsonValue]:
    """The input to call the tool with: as asked for, or as an approver edited the action.

    Raises:
        EditRefused: the edited action is not a call of this tool; with what the approver wants.
    """
    asked = action_of(use)
    if action_digest(approved) == action_digest(asked):
        return dict(use.tool_input)
    try:
        return _edited_input(use, asked, approved)
    except EditRefused as refused:
        raise EditRefused(f"{refused} {wanted_instead(approved)}") from None


def _edited_input(use: ToolUse, asked: Action, approved: Action) -> dict[str, JsonValue]:
    if use.tool_name in _KEEP_THEIR_INPUT:
        raise EditRefused(f"Claude Code cannot change the input of {use.tool_name}. Do not make the call.")
    candidate = {**use.tool_input, **_edited_fields(use, asked, approved)}
    # Whatever the translation back did, what will be called is asked for as what was approved.
    if action_digest(action_of(ToolUse(use.tool_name, candidate, use.cwd))) != action_digest(approved):
        raise EditRefused("The approver's edit cannot be called as it stands. Do not make the call.")
    return candidate


def _specific(use: ToolUse) -> dict[str, Any] | None:
    given = use.tool_input
    match use.tool_name:
        case "Bash" if _has(given, {"command"}, {"description", "timeout", "run_in_background"}):
            argv = command_words(_text(given, "command"))
            return {"type": "shell_command", "argv": argv, **({"cwd": use.cwd} if use.cwd else {})}
        case "Write" if _has(given, {"file_path", "content"}, set()):
            return _file_change(given, (Hunk(HunkKind.WHOLE, "", _text(given, "content")),))
        case "Edit" if _has(given, {"file_path", "old_string", "new_string"}, {"replace_all"}):
            return _file_change(given, (_edit(given),))
        case "MultiEdit" if _has(given, {"file_path", "edits"}, set()):
            return _file_change(given, _edits(given["edits"]))
        case "WebFetch" if _has(given, {"url"}, {"prompt"}):
            return {"type": "http_request", "method": "GET", "url": given["url"]}
        case name if (found := _mcp_tool(name)) is not None:
            server, tool = found
            return {"type": "tool_call", "server": server, "tool": tool, "arguments": dict(given)}
        case _:
            return None


def _edited_fields(use: ToolUse, asked: Action, approved: Action) -> dict[str, JsonValue]:
    match asked, approved:
        case ShellCommand(), ShellCommand(argv=argv):
            return {"command": argv[2] if argv[:2] == _SHELL and len(argv) == 3 else shlex.join(argv)}
        case FileChange(), FileChange(path=path, diff=diff):
            return {"file_path": path, **_hunk_fields(use.tool_name, diff)}
        case HttpRequest(), HttpRequest(url=url):
            return {"url": url}
        case ToolCall(), ToolCall(arguments=arguments):
            return _replacing(use, arguments)
        case Generic(), Generic(details=details):
            return _replacing(use, details)
        case _:
            raise EditRefused("The approver's edit is an action of another kind. Do not make the call.")


def _replacing(use: ToolUse, fields: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    if missing := use.tool_input.keys() - fields.keys():
        raise EditRefused(
            f"The approver's edit leaves out {', '.join(sorted(missing))}. Do not make the call."
        )
    return cast("dict[str, JsonValue]", parse_strict_json(canonical_json(dict(fields))))


def _hunk_fields(tool_name: str, diff: str) -> dict[str, JsonValue]:
    try:
        hunks = read_hunks(diff)
    except ValueError:
        raise EditRefused(
            "The approver's edit is not in the form in which edits are shown. Do not make the call."
        ) from None
    if tool_name == "Write":
        return {"content": hunks[0].new}
    edits: list[JsonValue] = [
        {"old_string": each.old, "new_string": each.new, "replace_all": each.kind is HunkKind.EVERY}
        for each in hunks
    ]
    return {"edits": edits} if tool_name == "MultiEdit" else cast("dict[str, JsonValue]", edits[0])


def command_words(command: str) -> list[str]:
    """The words of a command, when a shell would do nothing but start it; else bash with all of it."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    # Written as its words would be quoted, nothing in it means more to a shell than those words.
    starts = bool(words) and _PROGRAM.fullmatch(words[0]) is not None and words[0] not in _SHELL_WORDS
    return words if starts and shlex.join(words) == command else [*_SHELL, command]


def _file_change(given: Mapping[str, JsonValue], hunks: tuple[Hunk, ...]) -> dict[str, Any]:
    return {"type": "file_change", "path": given["file_path"], "diff": write_hunks(hunks)}


def _edits(value: JsonValue) -> tuple[Hunk, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("no list of edits")
    edits: list[Hunk] = []
    for each in value:
        if not isinstance(each, dict) or not _has(each, {"old_string", "new_string"}, {"replace_all"}):
            raise ValueError("no edit")
        edits.append(_edit(each))
    return tuple(edits)


def _edit(given: Mapping[str, JsonValue]) -> Hunk:
    every = given.get("replace_all", False)
    if not isinstance(every, bool):
        raise ValueError("replace_all is no boolean")  # noqa: TRY004 - caught as "of another shape"
    kind = HunkKind.EVERY if every else HunkKind.ONE
    return Hunk(kind, _text(given, "old_string"), _text(given, "new_string"))


def _mcp_tool(name: str) -> tuple[str, str] | None:
    if not name.startswith("mcp__"):
        return None
    server, _, tool = name.removeprefix("mcp__").partition("__")
    return (server, tool) if server and tool else None


def _has(given: Mapping[str, JsonValue], required: set[str], optional: set[str]) -> bool:
    return required <= given.keys() <= required | optional


def _text(given: Mapping[str, JsonValue], name: str) -> str:
    value = given[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is no string")  # noqa: TRY004 - caught as "of another shape"
    return value
