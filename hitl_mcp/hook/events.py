"""The events that Claude Code hands to a hook, and the answers it takes.

PreToolUse fires before every call, PermissionRequest when a permission dialog is about to be shown. An exit
status other than 0 and 2 lets the call through, so this program ends with these two only: 0 with an answer on
stdout, 2 with a reason on stderr, which blocks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

PRE_TOOL_USE: Final = "PreToolUse"
PERMISSION_REQUEST: Final = "PermissionRequest"
MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
_LONGEST_REASON: Final = 4000
_LONGEST_INPUT: Final = 3000
_EDITED: Final = (
    "A person edited this call before they approved it: it is made with their input, not with yours. Read "
    "what it did before you report it."
)


class EventRefused(Exception):
    """What came in is not an event that can be answered. `event` is set when at least its name is known."""

    def __init__(self, message: str, *, event: str | None = None) -> None:
        super().__init__(message)
        self.event = event


@dataclass(frozen=True, slots=True)
class ToolEvent:
    """A call that Claude Code is about to make."""

    event: str
    tool_name: str
    tool_input: dict[str, Any]
    tool_use_id: str | None
    cwd: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ask` leaves the decision to Claude Code's own dialog."""

    behavior: Literal["allow", "deny", "ask"]
    reason: str
    updated_input: Mapping[str, Any] | None = None


def read_event(raw: bytes) -> ToolEvent:
    """Read one event.

    Raises:
        EventRefused: it is too large, no JSON object, of an unknown kind, or a field is missing or wrong.
    """
    if len(raw) > MAX_EVENT_BYTES:
        raise EventRefused(f"the event is larger than {MAX_EVENT_BYTES} bytes")
    try:
        document: object = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_no_name_twice, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        raise EventRefused("the event on standard input is no acceptable JSON") from None
    if not isinstance(document, dict):
        raise EventRefused("the event on standard input is no JSON object")
    fields = cast("dict[str, Any]", document)
    event = fields.get("hook_event_name")
    if event not in {PRE_TOOL_USE, PERMISSION_REQUEST}:
        raise EventRefused(f"this hook answers {PRE_TOOL_USE} and {PERMISSION_REQUEST} only")
    tool_name, tool_input = fields.get("tool_name"), fields.get("tool_input")
    if not isinstance(tool_name, str) or not tool_name:
        raise EventRefused("the event names no tool (tool_name)", event=event)
    if not isinstance(tool_input, dict):
        raise EventRefused("the event has no tool_input that is an object", event=event)
    optional = {name: fields.get(name) for name in ("tool_use_id", "cwd")}
    if any(value is not None and not isinstance(value, str) for value in optional.values()):
        raise EventRefused("tool_use_id or cwd of the event is no string", event=event)
    return ToolEvent(
        event, tool_name, cast("dict[str, Any]", tool_input), optional["tool_use_id"], optional["cwd"]
    )


def denied_edit(verdict: Verdict) -> Verdict:
    """A denial that tells the edited input, in place of a permission to make the call with it."""
    if verdict.updated_input is None:
        return verdict
    text = json.dumps(dict(verdict.updated_input), ensure_ascii=False)
    missing = len(text) - _LONGEST_INPUT
    wanted = text if missing <= 0 else f"{text[:_LONGEST_INPUT]}… ({missing} characters more)"
    return Verdict(
        "deny",
        "This call was not made, because a person edited it before they approved it. Make it with this input "
        f"instead; they are asked again then: {wanted}",
    )


def answer_of(event: str, verdict: Verdict) -> dict[str, Any]:
    """What to print for `verdict`; empty where saying nothing means: show the dialog."""
    reason = verdict.reason[:_LONGEST_REASON]
    if event == PRE_TOOL_USE:
        output: dict[str, Any] = {
            "hookEventName": event,
            "permissionDecision": verdict.behavior,
            "permissionDecisionReason": reason,
        }
        if verdict.updated_input is not None:
            output["updatedInput"] = dict(verdict.updated_input)
            output["additionalContext"] = _EDITED
        return {"hookSpecificOutput": output}
    if verdict.behavior == "ask":
        return {}
    decision: dict[str, Any] = {"behavior": verdict.behavior}
    if verdict.behavior == "deny":
        decision["message"] = reason
    elif verdict.updated_input is not None:
        decision["updatedInput"] = dict(verdict.updated_input)
    return {"hookSpecificOutput": {"hookEventName": event, "decision": decision}}


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name occurs twice")
    return fields


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
