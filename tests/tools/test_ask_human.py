"""`ask_human`, and questions asked back, as an agent's MCP client meets them on both protocol revisions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp import Client

from tests.tools.served import REVISIONS, Served, asking

pytestmark = pytest.mark.parametrize("mode", REVISIONS)


async def call(client: Client, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def post(server: Served, path: str, body: dict[str, Any], person: str = "ada") -> Any:
    async with await server.person(person) as client:
        return await client.post(f"/api/v1/approvals/{path}", json=body)


async def test_an_answer_reaches_the_waiting_agent_and_nothing_else_does(server: Served, mode: str) -> None:
    question = {"question": "Which colour?", "choices": ["red", "blue"]}
    async with server.mcp(mode=mode) as client:
        waiting = asyncio.create_task(call(client, "ask_human", question))
        pending = await server.one_pending()
        name = pending["request_id"]
        assert (pending["kind"], pending["policy"]) == ("question", "ask-human")
        again = await call(client, "ask_human", {**question, "wait_seconds": 0})
        assert (again["question_id"], again["status"], again["answer"]) == (name, "PENDING", None)
        assert again["poll_after_seconds"] > 0
        wrong = await post(server, f"{name}/answer", {"answer": "green"})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_answer")
        assert (await post(server, f"{name}/approve", {})).json()["code"] == "wrong_kind"
        assert (await post(server, f"{name}/answer", {"answer": "blue"})).status_code == 200
        answer = await waiting
        late = await post(server, f"{name}/answer", {"answer": "red"}, "bob")
        assert (late.status_code, "ada" in late.json()["detail"]) == (409, True)
        checked = await call(client, "check_status", {"request_id": name})
        listed = await call(client, "list_requests", {"status": "ANSWERED"})
    assert (answer["status"], answer["answer"]) == ("ANSWERED", "blue")
    assert (answer["answered_by"], answer["channel"]) == ("ada", "api")
    assert (checked["status"], checked["answer"], checked["kind"]) == ("ANSWERED", "blue", "question")
    assert checked["capability_token"] is None
    assert [each["answer"] for each in listed["requests"]] == ["blue"]


async def test_a_declined_question_has_a_reason_and_no_answer(server: Served, mode: str) -> None:
    schema = {"type": "object", "properties": {"port": {"type": "integer"}}, "required": ["port"]}
    async with server.mcp(mode=mode) as client:
        asked = await call(
            client, "ask_human", {"question": "Which port?", "answer_schema": schema, "wait_seconds": 0}
        )
        bad = await post(server, f"{asked['question_id']}/answer", {"answer": {"port": "x"}})
        assert [each["field"] for each in bad.json()["errors"]] == ["answer.port"]
        await server.decide(asked["question_id"], "deny", reason="ask the runbook")
        answer = await call(
            client, "ask_human", {"question": "Which port?", "answer_schema": schema, "wait_seconds": 0}
        )
        checked = await call(client, "check_status", {"request_id": asked["question_id"]})
    assert answer["question_id"] != asked["question_id"]
    assert (checked["status"], checked["answer"]) == ("DENIED", None)
    assert "declined" in checked["next_step"]


async def test_what_nobody_could_answer_is_refused_with_the_field(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        for arguments, field in (
            ({"question": " "}, "question"),
            ({"question": "a", "choices": ["b", "b"]}, "choices"),
            ({"question": "a", "answer_schema": {"type": "string", "pattern": "(a+)+$"}}, "pattern"),
            ({"question": "a", "answer_schema": {"$ref": "file:///etc/passwd"}}, "$ref"),
        ):
            result = await client.call_tool("ask_human", arguments)
            assert result.is_error
            assert field in result.content[0].text
    assert await server.pending() == []


async def test_a_person_asks_back_and_the_waiting_agent_answers(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        waiting = asyncio.create_task(call(client, "request_approval", asking()))
        name = (await server.one_pending())["request_id"]
        asked = await post(server, f"{name}/ask", {"question": "Why today?"})
        assert asked.status_code == 200, asked.text
        async with asyncio.timeout(20):
            woken = await waiting
        assert woken["status"] == "PENDING"
        assert [(each["question"], each["answer"]) for each in woken["questions"]] == [("Why today?", None)]
        assert "check_status" in woken["next_step"]
        async with server.mcp("other", mode=mode) as other:
            refused = await other.call_tool("check_status", {"request_id": name, "answer": "me!"})
            assert refused.is_error
        replied = await call(client, "check_status", {"request_id": name, "answer": "the cache is full"})
        assert replied["questions"][0]["answer"] == "the cache is full"
        unasked = await client.call_tool("check_status", {"request_id": name, "answer": "and more"})
        assert unasked.is_error
        seen = (await server.one_pending())["questions"]
        assert [(each["asked_by"], each["answer"]) for each in seen] == [("ada", "the cache is full")]
        await server.decide(name)
        approved = await call(client, "check_status", {"request_id": name})
    assert approved["status"] == "APPROVED"
    assert approved["action_digest"] == woken["action_digest"]
    assert approved["expires_at"] == woken["expires_at"]


async def test_an_agents_key_neither_answers_nor_asks(server: Served, mode: str) -> None:
    async with server.mcp(mode=mode) as client:
        asked = await call(client, "ask_human", {"question": "Well?", "wait_seconds": 0})
    async with server.agent() as agent:
        for act, body in (("answer", {"answer": "yes"}), ("ask", {"question": "me?"})):
            answer = await agent.post(f"/api/v1/approvals/{asked['question_id']}/{act}", json=body)
            assert answer.status_code == 403
