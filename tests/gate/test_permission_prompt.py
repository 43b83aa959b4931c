"""`permission_prompt`: Claude Code's question, answered by people, good for one call."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from mcp import Client
from mcp_types import TextContent

from hitl_contract.action import parse_action
from hitl_mcp.wiring import build_application
from tests.tools.served import REVISIONS, Served


def asking(command: str = "rm -r build", use: str | None = "toolu_1") -> dict[str, Any]:
    question: dict[str, Any] = {"tool_name": "Bash", "input": {"command": command, "description": "tidy up"}}
    return question if use is None else {**question, "tool_use_id": use}


async def answered(client: Client, arguments: dict[str, Any]) -> dict[str, Any]:
    result = await client.call_tool("permission_prompt", arguments)
    assert not result.is_error
    [content] = result.content
    assert isinstance(content, TextContent)
    return json.loads(content.text)


async def events(server: Served) -> list[tuple[str, str]]:
    async with build_application(server.settings) as application:
        return [(entry.event, entry.actor) for entry in await application.audit.tail(500)]


@pytest.mark.parametrize("mode", REVISIONS)
async def test_an_approved_call_is_allowed_with_its_own_input(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        waiting = asyncio.create_task(answered(client, asking()))
        pending = await server.one_pending()
        assert pending["action"] == {
            "type": "shell_command",
            "argv": ["rm", "-r", "build"],
            "cwd": None,
            "env": {},
        }
        assert "tidy up" in pending["justification"]
        await server.decide(pending["request_id"])
        assert await waiting == {"behavior": "allow", "updatedInput": asking()["input"]}


async def test_the_same_call_is_told_the_same_and_another_one_needs_its_own_approval(server: Served) -> None:
    async with server.mcp() as client:
        waiting = asyncio.create_task(answered(client, asking()))
        first = await server.one_pending()
        await server.decide(first["request_id"])
        allowed = await waiting
        assert await answered(client, asking()) == allowed
        again = asyncio.create_task(answered(client, asking(use="toolu_2")))
        second = await server.one_pending()
        assert second["request_id"] != first["request_id"]
        await server.decide(second["request_id"], "deny", reason="once is enough")
        refused = await again
        assert refused["behavior"] == "deny"
        assert "once is enough" in refused["message"]
        assert await answered(client, asking(use="toolu_2")) == refused
    recorded = [event for event, actor in await events(server) if actor == "agent:builder"]
    assert recorded.count("request.spent") == 1
    assert "token.minted" not in recorded


async def test_no_token_can_be_had_for_what_was_allowed(server: Served) -> None:
    async with server.mcp() as client:
        waiting = asyncio.create_task(answered(client, asking()))
        pending = await server.one_pending()
        await server.decide(pending["request_id"])
        await waiting
        status = await client.call_tool("check_status", {"request_id": pending["request_id"]})
    assert status.structured_content["capability_token"] is None
    assert "used up" in status.structured_content["next_step"]


async def test_what_a_token_was_collected_for_is_not_allowed_besides(server: Served) -> None:
    async with server.mcp() as client, server.agent() as http:
        action = {"type": "shell_command", "argv": ["rm", "-r", "build"]}
        asked = await http.post("/api/v1/approvals", json={"action": action, "justification": "tidy"})
        request_id = asked.json()["request_id"]
        await server.decide(request_id)
        assert (await http.get(f"/api/v1/approvals/{request_id}")).json()["capability_token"]
        spent = await http.post(f"/api/v1/uses/{request_id}", json={"use": "x"})
        assert spent.status_code == 409
        waiting = asyncio.create_task(answered(client, asking()))
        other = await server.one_pending()
        assert other["request_id"] != request_id
        await server.decide(other["request_id"], "deny")
        assert (await waiting)["behavior"] == "deny"


async def test_of_equal_calls_at_the_same_time_each_needs_an_approval(server: Served) -> None:
    async with server.mcp() as client:
        calls = [asyncio.create_task(answered(client, asking(use=f"toolu_{n}"))) for n in range(3)]
        approved = 0
        while not all(call.done() for call in calls):
            for pending in await server.pending():
                await server.decide(pending["request_id"])
                approved += 1
            await asyncio.wait(calls, timeout=0.05)
    assert [call.result()["behavior"] for call in calls] == ["allow"] * 3
    assert approved == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "tool_name"),
        ({"tool_name": "Bash"}, "input"),
        ({"tool_name": "Bash", "input": "ls"}, "input"),
        ({"tool_name": "mcp__a__b", "input": {"n": 2**60}}, "safe integer"),
        ({"tool_name": "x" * 181, "input": {}}, "tool_name"),
    ],
)
async def test_what_nobody_could_be_asked_about_is_denied(
    server: Served, arguments: dict[str, Any], told: str
) -> None:
    async with server.mcp() as client:
        answer = await answered(client, arguments)
    assert answer["behavior"] == "deny"
    assert told in answer["message"]


async def test_an_id_that_was_used_for_another_call_is_denied(server: Served) -> None:
    async with server.mcp() as client:
        waiting = asyncio.create_task(answered(client, asking()))
        await server.decide((await server.one_pending())["request_id"])
        assert (await waiting)["behavior"] == "allow"
        other = await answered(client, asking("rm -r /"))
    assert other["behavior"] == "deny"


async def test_an_undecided_call_is_denied_and_asking_again_waits_for_the_same_decision(
    server: Served,
) -> None:
    body = {**asking(), "wait_seconds": 0}
    async with server.agent() as http:
        answer = (await http.post("/api/v1/permissions", json=body)).json()
        assert answer["behavior"] == "deny"
        assert "Nobody has decided yet" in answer["message"]
        pending = await server.one_pending()
        assert pending["request_id"] in answer["message"]
        await server.decide(pending["request_id"])
        again = (await http.post("/api/v1/permissions", json=body)).json()
        assert again == {"behavior": "allow", "updatedInput": body["input"]}


async def test_a_use_is_good_once_and_only_for_the_agent_that_asked(server: Served) -> None:
    action = {"type": "tool_call", "server": "s", "tool": "t", "arguments": {"a": 1.0}}
    async with server.agent() as http, server.agent("other") as other, await server.person() as person:
        asked = await http.post("/api/v1/uses", json={"action": action, "justification": "x"})
        assert asked.status_code == 201
        path = f"/api/v1/uses/{asked.json()['request_id']}"
        assert (await http.post(path, json={"use": "a"})).json()["code"] == "not_approved"
        await server.decide(asked.json()["request_id"])
        decided = (await http.get(f"{path}/wait", params={"timeout_seconds": 1})).json()
        assert (decided["status"], decided["capability_token"]) == ("APPROVED", None)
        assert (await other.post(path, json={"use": "a"})).status_code == 404
        assert (await person.post(path, json={"use": "a"})).status_code == 403
        assert (await http.post(path, json={"use": ""})).status_code == 422
        both = await asyncio.gather(*(http.post(path, json={"use": each}) for each in "ab"))
        assert sorted(each.status_code for each in both) == [200, 409]
        [won] = [each.json() for each in both if each.status_code == 200]
        assert won["first"] is True
        assert parse_action(won["action"]) == parse_action(action)
        repeated = (await http.post(path, json={"use": won["use"]})).json()
        assert repeated == {**won, "first": False}
