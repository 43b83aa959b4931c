"""Grants over REST: preview, confirm, use, list, end; an agent's key makes none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from tests.tools.conftest import server, template
from tests.tools.served import Served

__all__ = ["server", "template"]

UNTIL = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
UP_TO_50 = {"/arguments/amount": {"pattern": "at_most", "maximum": 50}}


async def call(
    server: Served, method: str, path: str, body: dict[str, Any] | None = None, person: str = "ada"
) -> httpx2.Response:
    async with await server.person(person) as client:
        return await client.request(method, f"/api/v1{path}", json=body)


async def ask(server: Served, amount: int) -> dict[str, Any]:
    action = {
        "type": "tool_call",
        "server": "weather",
        "tool": "get_forecast",
        "arguments": {"amount": amount},
    }
    async with server.agent() as client:
        answer = await client.post("/api/v1/approvals", json={"action": action, "justification": "due"})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_grant_is_previewed_confirmed_used_and_ended(server: Served) -> None:
    first = await ask(server, 20)
    path = f"/approvals/{first['request_id']}/grant"
    body = {"action_digest": first["action_digest"], "uses": 2, "expires_at": UNTIL, "vary": UP_TO_50}
    preview = await call(server, "POST", f"{path}/preview", body)
    assert preview.status_code == 200, preview.text
    assert "from 0 to 50" in preview.json()["wording"]
    unread = await call(server, "POST", path, {**body, "wording_digest": "sha-256:unread"})
    assert unread.status_code == 422
    made = await call(server, "POST", path, {**body, "wording_digest": preview.json()["wording_digest"]})
    assert made.status_code == 201, made.text
    grant_id = made.json()["grant_id"]
    covered = await ask(server, 49)
    assert (covered["status"], covered["policy"]) == ("APPROVED", f"grant:{grant_id}")
    assert covered["capability_token"]
    assert not covered["needs_approval"]
    assert (await ask(server, 51))["status"] == "PENDING"
    [listed] = (await call(server, "GET", "/grants")).json()["grants"]
    assert (listed["used"], listed["remaining"]) == (1, 1)
    shown = (await call(server, "GET", f"/grants/{grant_id}")).json()
    assert [each["request_id"] for each in shown["uses"]] == [covered["request_id"]]
    assert (await call(server, "POST", f"/grants/{grant_id}/revoke")).status_code == 200
    assert (await ask(server, 48))["status"] == "PENDING"
    assert (await call(server, "POST", f"/grants/{grant_id}/revoke")).status_code == 404


async def test_what_cannot_be_granted_is_refused_by_the_field(server: Served) -> None:
    first = await ask(server, 20)
    path = f"/approvals/{first['request_id']}/grant/preview"
    body = {"action_digest": first["action_digest"], "uses": 2, "expires_at": UNTIL}
    for wrong, field in (
        ({"vary": {"/tool": {"pattern": "boolean"}}}, "/tool"),
        ({"vary": {"/arguments/amount": {"pattern": "no such"}}}, "/arguments/amount"),
        ({"vary": {"/arguments/amount": 5}}, "/arguments/amount"),
        ({"uses": 0}, "uses"),
        ({"max_risk": "critical"}, "max_risk"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ):
        answer = await call(server, "POST", path, {**body, **wrong})
        assert answer.status_code == 422, answer.text
        assert [each["field"] for each in answer.json()["errors"]] == [field], answer.text


async def test_an_agent_neither_makes_nor_sees_grants(server: Served) -> None:
    first = await ask(server, 20)
    async with server.agent() as client:
        for method, path in (
            ("POST", f"/api/v1/approvals/{first['request_id']}/grant"),
            ("POST", f"/api/v1/approvals/{first['request_id']}/grant/preview"),
            ("GET", "/api/v1/grants"),
            ("POST", "/api/v1/grants/grant_x/revoke"),
        ):
            assert (await client.request(method, path, json={})).status_code == 403
