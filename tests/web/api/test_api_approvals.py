"""The REST API over real HTTP: what agents and people may do there, and what neither may."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from tests.tools.served import Served, asking


async def ask(server: Served, code: str = "print(6 * 7)", agent: str = "builder") -> dict[str, Any]:
    async with server.agent(agent) as client:
        answer = await client.post("/api/v1/approvals", json=asking(code))
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/v1/approvals/{answer.json()['request_id']}"
    return answer.json()


def assert_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["code"] == code
    assert document["detail"]
    return document


async def test_an_agent_asks_waits_and_gets_its_token(server: Served) -> None:
    asked = await ask(server)
    path = f"/api/v1/approvals/{asked['request_id']}"
    async with server.agent() as client:
        waiting = asyncio.create_task(client.get(f"{path}/wait", params={"timeout_seconds": 30}))
        await server.decide(asked["request_id"], reason="fine")
        waited = (await waiting).json()
        shown = (await client.get(path)).json()
    assert waited["status"] == shown["status"] == "APPROVED"
    assert waited["capability_token"]
    assert shown["capability_token"]


async def test_waiting_ends_with_its_time(server: Served) -> None:
    asked = await ask(server)
    async with server.agent() as client:
        answer = await client.get(
            f"/api/v1/approvals/{asked['request_id']}/wait", params={"timeout_seconds": 0}
        )
    assert answer.json()["status"] == "PENDING"


async def test_a_person_sees_the_whole_request_and_never_a_token(server: Served) -> None:
    asked = await ask(server)
    await server.decide(asked["request_id"])
    async with await server.person("bob") as client:
        shown = (await client.get(f"/api/v1/approvals/{asked['request_id']}")).json()
        waited = (await client.get(f"/api/v1/approvals/{asked['request_id']}/wait")).json()
        listed = (await client.get("/api/v1/approvals")).json()
    for answer in (shown, waited, listed["requests"][0]):
        assert answer["capability_token"] is None
        assert answer["agent"] == "builder"
        assert answer["action"]["code"] == "print(6 * 7)"
        assert "print(6 * 7)" in answer["display"]["text"]


@pytest.mark.parametrize("verb", ["approve", "deny", "revoke"])
async def test_an_agents_key_never_decides(server: Served, verb: str) -> None:
    asked = await ask(server)
    for agent in ("builder", "other"):
        async with server.agent(agent) as client:
            answer = await client.post(f"/api/v1/approvals/{asked['request_id']}/{verb}", json={})
        assert_problem(answer, 403, "person_needed")
    assert (await server.one_pending())["decisions"] == []


async def test_a_persons_session_asks_for_nothing(server: Served) -> None:
    async with await server.person("root") as client:
        assert_problem(await client.post("/api/v1/approvals", json=asking()), 403, "agent_needed")
        mcp = await client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert mcp.status_code == 401
    assert await server.pending() == []


async def test_another_agents_request_does_not_exist(server: Served) -> None:
    asked = await ask(server)
    await server.decide(asked["request_id"])
    path = f"/api/v1/approvals/{asked['request_id']}"
    async with server.agent("other") as client:
        assert_problem(await client.get(path), 404, "request_not_found")
        assert_problem(await client.get(f"{path}/wait"), 404, "request_not_found")
        assert_problem(await client.post(f"{path}/cancel", json={}), 404, "request_not_found")
        assert (await client.get("/api/v1/approvals")).json()["requests"] == []


async def test_one_person_decides_once_and_the_end_is_final(server: Served) -> None:
    asked = await ask(server)
    await server.decide(asked["request_id"], "deny", reason="no")
    async with await server.person("bob") as client:
        late = await client.post(f"/api/v1/approvals/{asked['request_id']}/approve", json={})
    document = assert_problem(late, 409, "already_ended")
    assert document["request_status"] == "DENIED"


async def test_a_decision_about_another_digest_decides_nothing(server: Served) -> None:
    asked = await ask(server)
    async with await server.person() as client:
        answer = await client.post(
            f"/api/v1/approvals/{asked['request_id']}/approve", json={"action_digest": "sha-256:other"}
        )
    assert_problem(answer, 409, "digest_changed")
    assert (await server.one_pending())["decisions"] == []


async def test_somebody_who_is_no_approver_decides_nothing(server: Served) -> None:
    asked = await ask(server)
    async with await server.person("root") as client:
        answer = await client.post(f"/api/v1/approvals/{asked['request_id']}/approve", json={})
    assert_problem(answer, 403, "not_eligible")
    assert (await server.one_pending())["decisions"] == []


async def test_a_get_decides_nothing(server: Served) -> None:
    asked = await ask(server)
    async with await server.person() as client:
        for verb in ("approve", "deny", "cancel"):
            answer = await client.get(f"/api/v1/approvals/{asked['request_id']}/{verb}")
            assert answer.status_code == 405
    assert (await server.one_pending())["request_id"] == asked["request_id"]


async def test_the_agent_and_a_person_can_cancel(server: Served) -> None:
    first, second = await ask(server, "1"), await ask(server, "2")
    async with server.agent() as client:
        answer = await client.post(f"/api/v1/approvals/{first['request_id']}/cancel")
        assert answer.json()["status"] == "CANCELLED"
    async with await server.person() as client:
        answer = await client.post(
            f"/api/v1/approvals/{second['request_id']}/cancel", json={"reason": "superseded"}
        )
    assert answer.json()["ended_reason"] == "superseded"


async def test_a_revoked_approval_gives_no_token(server: Served) -> None:
    asked = await ask(server)
    await server.decide(asked["request_id"])
    await server.decide(asked["request_id"], "revoke", reason="changed my mind")
    async with server.agent() as client:
        answer = (await client.get(f"/api/v1/approvals/{asked['request_id']}")).json()
    assert answer["capability_token"] is None
    assert "revoked" in answer["next_step"]


MISTAKES: list[tuple[dict[str, Any], int, str]] = [
    ({"json": {}}, 422, "justification"),
    ({"json": asking(colour=1)}, 422, "colour"),
    ({"json": asking(timeout_seconds=1)}, 422, "timeout_seconds"),
    ({"json": {"action": {"type": "magic"}, "justification": "y"}}, 422, "action.type"),
    ({"json": []}, 400, "object"),
    ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
    ({"content": b'{"a":1,"a":2}', "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
    ({"content": b"\xff\xfe", "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
    ({"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
    ({"content": b"a=b", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 415, "json"),
    ({"content": b""}, 415, "json"),
]


async def test_each_mistake_gets_a_4xx_that_names_it_and_stores_nothing(server: Served) -> None:
    async with server.agent() as client:
        for request, status, named in MISTAKES:
            answer = await client.post("/api/v1/approvals", **request)
            assert answer.status_code == status, (request, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert named in answer.text
        for query in ({"limit": "x"}, {"limit": "0"}, {"status": "NO"}, {"cursor": "x"}, {"colour": "red"}):
            assert (await client.get("/api/v1/approvals", params=query)).status_code == 422
        for path in ("/api/v1/nothing", "/api/v2/approvals", "/API/v1/approvals", "/api/v1/approvals/"):
            assert (await client.get(path)).status_code == 404
    assert await server.pending() == []


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(server: Served) -> None:
    async with server.agent() as client:
        declared = await client.post("/api/v1/approvals", json=asking("#" * 17_000_000))

        async def chunks() -> Any:
            for _ in range(18):
                yield b" " * 1_000_000

        streamed = await client.post(
            "/api/v1/approvals", content=chunks(), headers={"Content-Type": "application/json"}
        )
    assert_problem(declared, 413, "body_too_large")
    assert_problem(streamed, 413, "body_too_large")
    assert await server.pending() == []
