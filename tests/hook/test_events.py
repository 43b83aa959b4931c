"""What a hook reads and writes, as Claude Code documents it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hitl_mcp.hook.events import MAX_EVENT_BYTES, EventRefused, ToolEvent, Verdict, answer_of, read_event

EVENT: dict[str, Any] = {
    "session_id": "s",
    "transcript_path": "/t.jsonl",
    "cwd": "/work",
    "permission_mode": "default",
    "hook_event_name": "PreToolUse",
    "tool_name": "Bash",
    "tool_input": {"command": "ls"},
    "tool_use_id": "toolu_1",
}


def test_an_event_is_read_with_what_a_question_needs() -> None:
    assert read_event(json.dumps(EVENT).encode()) == ToolEvent(
        "PreToolUse", "Bash", {"command": "ls"}, "toolu_1", "/work"
    )


@pytest.mark.parametrize(
    ("raw", "known"),
    [
        (b"", None),
        (b"[]", None),
        (b"{", None),
        (b"\xff{}", None),
        (b"[" * 200_000, None),
        (b'{"hook_event_name": NaN}', None),
        (b" " * (MAX_EVENT_BYTES + 1), None),
        (b'{"hook_event_name": "PreToolUse", "hook_event_name": "PreToolUse"}', None),
        (b'{"hook_event_name": "PostToolUse"}', None),
        (b'{"hook_event_name": "PreToolUse"}', "PreToolUse"),
        (b'{"hook_event_name": "PreToolUse", "tool_name": ""}', "PreToolUse"),
        (
            b'{"hook_event_name": "PermissionRequest", "tool_name": "B", "tool_input": []}',
            "PermissionRequest",
        ),
        (b'{"hook_event_name": "PreToolUse", "tool_name": "B", "tool_input": {}, "cwd": 1}', "PreToolUse"),
    ],
)
def test_what_is_no_such_event_is_refused(raw: bytes, known: str | None) -> None:
    with pytest.raises(EventRefused) as refused:
        read_event(raw)
    assert refused.value.event == known


@pytest.mark.parametrize(
    ("event", "verdict", "printed"),
    [
        (
            "PreToolUse",
            Verdict("allow", "yes", {"command": "ls -l"}),
            {
                "hookEventName": "PreToolUse",
                "permissionDecision": "allow",
                "permissionDecisionReason": "yes",
                "updatedInput": {"command": "ls -l"},
                "additionalContext": "A person edited this call before they approved it: it is made with "
                "their input, not with yours. Read what it did before you report it.",
            },
        ),
        (
            "PreToolUse",
            Verdict("deny", "no"),
            {"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": "no"},
        ),
        (
            "PreToolUse",
            Verdict("ask", "down"),
            {"hookEventName": "PreToolUse", "permissionDecision": "ask", "permissionDecisionReason": "down"},
        ),
        (
            "PermissionRequest",
            Verdict("allow", "yes"),
            {"hookEventName": "PermissionRequest", "decision": {"behavior": "allow"}},
        ),
        (
            "PermissionRequest",
            Verdict("deny", "no"),
            {"hookEventName": "PermissionRequest", "decision": {"behavior": "deny", "message": "no"}},
        ),
    ],
)
def test_an_answer_has_the_form_of_its_event(event: str, verdict: Verdict, printed: dict[str, Any]) -> None:
    assert answer_of(event, verdict) == {"hookSpecificOutput": printed}


def test_leaving_a_permission_request_to_the_dialog_is_to_say_nothing() -> None:
    assert answer_of("PermissionRequest", Verdict("ask", "down")) == {}
