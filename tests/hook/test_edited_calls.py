"""A call of Claude Code that a person edits: made with their input where it can be, else denied with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.gate.test_permission_prompt import answered, asking
from tests.hook.test_events import EVENT
from tests.hook.test_hook_command import run, with_key
from tests.tools.served import Served

BASH = {"tool_name": "Bash", "tool_input": {"command": "rm -r build", "timeout": 5}}
MILD = {"argv": ["rm", "-r", "build/cache"]}


async def edit_and_approve(server: Served, change: dict[str, Any]) -> None:
    edited = await server.edit(await server.one_pending(), change)
    await server.decide(edited["request_id"], person="bob", action_digest=edited["action_digest"])


@pytest.mark.parametrize("event_name", ["PreToolUse", "PermissionRequest"])
async def test_an_edited_call_is_made_with_the_persons_input(server: Served, event_name: str) -> None:
    event = {**EVENT, **BASH, "hook_event_name": event_name}
    waiting = asyncio.create_task(run(with_key(server), event=event))
    await edit_and_approve(server, MILD)
    said = (await waiting).said
    decision = said if event_name == "PreToolUse" else said["decision"]
    assert decision["updatedInput"] == {"command": "rm -r build/cache", "timeout": 5}
    assert (decision.get("permissionDecision") or decision["behavior"]) == "allow"
    again = (await run(with_key(server), event=event)).said
    assert again == said


async def test_without_a_server_the_edited_input_comes_from_the_home(server: Served) -> None:
    environment = {"HITL_HOME": str(server.settings.home), "HITL_CONSOLE__ENABLED": "false"}
    waiting = asyncio.create_task(run(environment, "--agent", "builder", event={**EVENT, **BASH}))
    await edit_and_approve(server, MILD)
    said = (await waiting).said
    assert said["updatedInput"] == {"command": "rm -r build/cache", "timeout": 5}
    assert "edited this call" in said["additionalContext"]


@pytest.mark.parametrize(
    ("call", "change", "told"),
    [
        (BASH, {"cwd": "/elsewhere"}, "/elsewhere"),
        ({"tool_name": "Task", "tool_input": {"prompt": "a"}}, {"details": {"prompt": "b"}}, '"prompt":"b"'),
        ({"tool_name": "mcp__bank__pay", "tool_input": {"n": 1}}, {"tool": "give"}, '"tool":"give"'),
    ],
    ids=["another directory", "a subagent", "another tool"],
)
async def test_an_edit_that_cannot_be_called_is_a_denial_with_the_edit(
    server: Served, call: dict[str, Any], change: dict[str, Any], told: str
) -> None:
    waiting = asyncio.create_task(run(with_key(server), event={**EVENT, **call}))
    await edit_and_approve(server, change)
    said = (await waiting).said
    assert said["permissionDecision"] == "deny"
    assert "updatedInput" not in said
    assert "Do not make the call" in said["permissionDecisionReason"]
    assert told in said["permissionDecisionReason"]


async def test_beside_other_hooks_an_edit_can_be_told_instead_of_made(server: Served) -> None:
    waiting = asyncio.create_task(run(with_key(server), "--deny-edited", event={**EVENT, **BASH}))
    await edit_and_approve(server, MILD)
    said = (await waiting).said
    assert said["permissionDecision"] == "deny"
    assert "rm -r build/cache" in said["permissionDecisionReason"]
    assert "updatedInput" not in said


async def test_the_permission_prompt_answers_with_the_edited_input(server: Served) -> None:
    async with server.mcp() as client:
        waiting = asyncio.create_task(answered(client, asking()))
        await edit_and_approve(server, MILD)
        allowed = await waiting
        assert allowed["behavior"] == "allow"
        assert allowed["updatedInput"] == {**asking()["input"], "command": "rm -r build/cache"}
        other = asyncio.create_task(answered(client, asking(use="toolu_2")))
        await edit_and_approve(server, {"env": {"A": "b"}})
        denied = await other
    assert denied["behavior"] == "deny"
    assert '"env":{"A":"b"}' in denied["message"]
