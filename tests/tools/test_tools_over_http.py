"""The tools, as an agent's MCP client meets them over streamable HTTP, on both protocol revisions."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import jsonschema
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from hitl_contract.action import action_digest, parse_action
from tests.tools.served import REVISIONS, Served, action, asking

pytestmark = pytest.mark.parametrize("mode", REVISIONS)

TOOLS = {
    "request_approval",
    "check_status",
    "cancel_request",
    "ask_human",
    "list_requests",
    "permission_prompt",
    "explain_policy",
}


async def call(client: Client, name: str, arguments: dict[str, Any], **options: Any) -> dict[str, Any]:
    result = await client.call_tool(name, arguments, **options)
    assert not result.is_error, result.content
    return result.structured_content


async def refusal(client: Client, name: str, arguments: dict[str, Any]) -> str:
    result = await client.call_tool(name, arguments)
    assert result.is_error
    return result.content[0].text


async def test_every_tool_says_what_it_takes_answers_and_does(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == TOOLS
    for tool in tools.values():
        assert tool.description
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        jsonschema.Draft202012Validator.check_schema(tool.output_schema)
        assert tool.input_schema["additionalProperties"] is False
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is (tool.name in {"list_requests", "explain_policy"})
    jsonschema.validate(asking(), tools["request_approval"].input_schema)


async def test_a_decision_reaches_the_waiting_agent_with_a_token(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        waiting = asyncio.create_task(call(client, "request_approval", asking()))
        pending = await server.one_pending()
        await server.decide(pending["request_id"], reason="fine")
        answer = await waiting
    assert answer["status"] == "APPROVED"
    assert answer["request_id"] == pending["request_id"]
    assert answer["capability_token"].count(".") == 2
    assert answer["action_digest"] == action_digest(parse_action(action()))
    assert answer["needs_approval"] is True
    assert answer["auto_approved"] is False
    assert [(d["verdict"], d["approver"], d["reason"]) for d in answer["decisions"]] == [
        ("approve", "ada", "fine")
    ]


async def test_a_denial_comes_with_its_reason_and_no_token(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        asked = await call(client, "request_approval", asking(wait_seconds=0))
        await server.decide(asked["request_id"], "deny", reason="not on a Friday")
        answer = await call(client, "check_status", {"request_id": asked["request_id"]})
    assert answer["status"] == "DENIED"
    assert answer["capability_token"] is None
    assert "not on a Friday" in answer["next_step"]


async def test_a_pending_answer_says_when_and_how_to_ask_again(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        answer = await call(client, "request_approval", asking(wait_seconds=0))
    assert answer["status"] == "PENDING"
    assert answer["poll_after_seconds"] > 0
    assert answer["capability_token"] is None
    assert answer["review_url"] == f"{server.url}/requests/{answer['request_id']}"
    assert "check_status" in answer["next_step"]


async def test_progress_is_reported_while_a_call_is_held(server: Served, mode: str) -> None:
    reported: asyncio.Queue[str] = asyncio.Queue()

    async def progress(_: float, __: float | None, message: str | None) -> None:
        await reported.put(message or "")

    async with server.mcp(mode=mode) as client:
        waiting = asyncio.create_task(call(client, "request_approval", asking(), progress_callback=progress))
        pending = await server.one_pending()
        async with asyncio.timeout(10):
            message = await reported.get()
        await server.decide(pending["request_id"])
        await waiting
    assert pending["request_id"] in message


async def test_asking_again_returns_the_same_request(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        first = await call(client, "request_approval", asking(wait_seconds=0))
        again = await call(client, "request_approval", asking(wait_seconds=0))
        keyed = await call(client, "request_approval", asking("a", wait_seconds=0, idempotency_key="k"))
        again_keyed = await call(client, "request_approval", asking("a", wait_seconds=0, idempotency_key="k"))
    assert first["request_id"] == again["request_id"]
    assert keyed["request_id"] == again_keyed["request_id"] != first["request_id"]


async def test_a_call_that_times_out_leaves_the_request_pending(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        with pytest.raises(MCPError):
            await client.call_tool("request_approval", asking(), read_timeout_seconds=0.5)
    pending = await server.one_pending()
    await server.decide(pending["request_id"])
    async with server.mcp(mode=mode) as client:
        answer = await call(client, "request_approval", asking())
    assert answer["request_id"] == pending["request_id"]
    assert answer["status"] == "APPROVED"


async def test_a_dropped_connection_leaves_the_request_pending(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        waiting = asyncio.create_task(client.call_tool("request_approval", asking()))
        pending = await server.one_pending()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert (await server.one_pending())["request_id"] == pending["request_id"]


async def test_a_cancelled_request_stays_cancelled_and_a_decided_one_cannot_be(
    server: Served, mode: str
) -> None:
    async with server.mcp(mode=mode) as client:
        first = await call(client, "request_approval", asking(wait_seconds=0))
        for _ in range(2):
            ended = await call(
                client, "cancel_request", {"request_id": first["request_id"], "reason": "done"}
            )
            assert ended["status"] == "CANCELLED"
        second = await call(client, "request_approval", asking(wait_seconds=0))
        assert second["request_id"] != first["request_id"]
        await server.decide(second["request_id"], "deny")
        assert "DENIED" in await refusal(client, "cancel_request", {"request_id": second["request_id"]})


async def test_a_list_is_paged_filtered_and_without_tokens(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        ids = [
            (await call(client, "request_approval", asking(f"print({n})", wait_seconds=0)))["request_id"]
            for n in range(3)
        ]
        await server.decide(ids[0])
        first = await call(client, "list_requests", {"limit": 2})
        second = await call(client, "list_requests", {"limit": 2, "cursor": first["next_cursor"]})
        approved = await call(client, "list_requests", {"status": "APPROVED"})
    listed = [entry["request_id"] for entry in [*first["requests"], *second["requests"]]]
    assert listed == ids[::-1]
    assert second["next_cursor"] is None
    assert [entry["request_id"] for entry in approved["requests"]] == ids[:1]
    assert all(entry["capability_token"] is None for entry in approved["requests"])


async def test_another_agents_request_does_not_exist(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        asked = await call(client, "request_approval", asking(wait_seconds=0))
        await server.decide(asked["request_id"])
    async with server.mcp("other", mode=mode) as other:
        for tool in ("check_status", "cancel_request"):
            assert "There is no request" in await refusal(other, tool, {"request_id": asked["request_id"]})
        assert (await call(other, "list_requests", {}))["requests"] == []
        same_action = await call(other, "request_approval", asking(wait_seconds=0))
    assert same_action["request_id"] != asked["request_id"]
    assert same_action["status"] == "PENDING"


MISTAKES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["action", "justification"]),
    ({"action": action()}, ["justification: is missing and required"]),
    (asking(justification="  "), ["justification", "blank"]),
    (asking(justification=7), ["justification", "7"]),
    (asking(justification="x" * 4001), ["justification", "4001 characters", "4000"]),
    (asking(justification="a\x00b"), ["justification", "NUL"]),
    (asking(timeout_seconds="soon"), ["timeout_seconds", '"soon"', "integer"]),
    (asking(timeout_seconds=9), ["timeout_seconds", "9", "10"]),
    (asking(timeout_seconds=604_801), ["timeout_seconds", "604800"]),
    (asking(wait_seconds=-1), ["wait_seconds", "-1"]),
    (asking(wait_seconds=100, timeout_seconds=10), ["wait_seconds (100)", "timeout_seconds (10)"]),
    (asking(risk_level="extreme"), ["risk_level", '"extreme"', "'critical'"]),
    (asking(colour="red"), ["colour", "is not an argument", "justification"]),
    (asking(metadata=["a"]), ["metadata"]),
    (asking(metadata={"a": "x" * 20_000}), ["metadata", "16384"]),
    (asking(idempotency_key=""), ["idempotency_key"]),
    ({"action": "rm -rf", "justification": "y"}, ["action"]),
    ({"action": None, "justification": "y"}, ["action"]),
    ({"action": {"type": "magic"}, "justification": "y"}, ["action.type", "code_execution"]),
    ({"action": {**action(), "colour": 1}, "justification": "y"}, ["action.colour"]),
    ({"action": {**action(), "limits": {"memory_mb": "much"}}, "justification": "y"}, ["action.limits"]),
    (
        {
            "action": {**action(), "network": {"mode": "none", "domains": ["a.example"]}},
            "justification": "y",
        },
        ["action.network", "allowlist"],
    ),
]


async def test_each_mistake_is_named_with_what_is_allowed_and_nothing_is_stored(
    server: Served, mode: str
) -> None:
    async with server.mcp(mode=mode) as client:
        for arguments, named in MISTAKES:
            message = await refusal(client, "request_approval", arguments)
            assert message.startswith("Nobody was asked and nothing was stored")
            assert [part for part in named if part not in message] == [], (arguments, message)
    assert await server.pending() == []


async def test_ten_megabytes_of_code_are_answered_and_not_stored(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        message = await refusal(client, "request_approval", asking("#" * 10_000_000))
    assert "action.code" in message
    assert "1000000" in message
    assert len(message) < 1000
    assert await server.pending() == []


MISTAKES_WITH_THE_OTHERS: list[tuple[str, dict[str, Any], str]] = [
    ("check_status", {}, "request_id: is missing"),
    ("check_status", {"request_id": "req_nope"}, "req_nope"),
    ("check_status", {"request_id": 5}, "request_id"),
    ("cancel_request", {"request_id": "x", "why": 1}, "why: is not an argument"),
    ("list_requests", {"status": "WAITING"}, "PENDING"),
    ("list_requests", {"limit": 0}, "limit"),
    ("list_requests", {"cursor": "made up"}, "cursor"),
]


async def test_mistakes_with_the_other_tools_are_named(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        for tool, arguments, named in MISTAKES_WITH_THE_OTHERS:
            assert named in await refusal(client, tool, arguments)


async def test_an_action_may_come_as_a_string_of_json(server: Served, mode: str) -> None:
    arguments = {"action": '{"type":"generic","operation":"deploy","details":{}}', "justification": "y"}
    async with server.mcp(mode=mode) as client:
        answer = await call(client, "request_approval", {**arguments, "wait_seconds": 0})
    assert answer["status"] == "PENDING"


async def test_nobody_without_an_agents_key_reaches_a_tool(server: Served, mode: str) -> None:
    async with await server.person() as person:
        session = person.headers["authorization"].removeprefix("Bearer ")
    for credential in (None, "wrong", session, server.keys["builder"] + "x"):
        async with server.http(credential) as http:
            answer = await http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_foreign_host_or_origin_is_refused(server: Served, mode: str) -> None:
    async with server.agent() as http:
        rebound = await http.post("/mcp", json={}, headers={"Host": "evil.example"})
        foreign = await http.post("/mcp", json={}, headers={"Origin": "https://evil.example"})
        other_port = await http.post("/mcp", json={}, headers={"Origin": "http://127.0.0.1:1"})
        null = await http.post("/mcp", json={}, headers={"Origin": "null"})
        assert isinstance(http, httpx2.AsyncClient)
    assert rebound.status_code == 421
    assert (foreign.status_code, other_port.status_code, null.status_code) == (403, 403, 403)
