"""Delegations over REST: who may lend what, and what a delegate may then do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from tests.tools.served import Served, asking


def in_hours(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


async def call(
    server: Served, person: str, method: str, path: str, body: dict[str, Any] | None = None
) -> httpx2.Response:
    async with await server.person(person) as client:
        return await client.request(method, f"/api/v1{path}", json=body)


async def asked(server: Served) -> str:
    async with server.agent() as client:
        return (await client.post("/api/v1/approvals", json=asking())).json()["request_id"]


async def token_status(server: Served, request_id: str) -> httpx2.Response:
    async with server.agent() as client:
        return await client.get(f"/api/v1/approvals/{request_id}")


async def test_a_delegate_decides_the_one_request_and_no_other(server: Served) -> None:
    request_id = await asked(server)
    assert (await call(server, "root", "POST", f"/approvals/{request_id}/approve")).status_code == 403
    lent = await call(server, "ada", "POST", f"/approvals/{request_id}/delegate", {"to": "Root"})
    assert lent.status_code == 201, lent.text
    assert (lent.json()["delegate"], lent.json()["request_id"]) == ("root", request_id)
    done = await call(server, "root", "POST", f"/approvals/{request_id}/approve")
    assert done.status_code == 200, done.text
    assert done.json()["status"] == "APPROVED"
    assert (await token_status(server, request_id)).json()["capability_token"]
    async with server.agent() as client:
        other = (await client.post("/api/v1/approvals", json=asking("print(1)"))).json()["request_id"]
    assert (await call(server, "root", "POST", f"/approvals/{other}/approve")).status_code == 403


async def test_an_approval_by_a_delegate_gives_no_token_once_the_delegation_is_revoked(
    server: Served,
) -> None:
    request_id = await asked(server)
    lent = (await call(server, "ada", "POST", f"/approvals/{request_id}/delegate", {"to": "root"})).json()
    assert (await call(server, "root", "POST", f"/approvals/{request_id}/approve")).status_code == 200
    ended = await call(server, "ada", "POST", f"/delegations/{lent['delegation_id']}/revoke")
    assert ended.status_code == 200, ended.text
    answer = await token_status(server, request_id)
    assert not answer.json().get("capability_token")


async def test_delegations_are_listed_for_those_they_concern(server: Served) -> None:
    made = await call(server, "ada", "POST", "/delegations", {"to": "bob", "until": in_hours(5)})
    assert made.status_code == 201, made.text
    for person, seen in (("ada", 1), ("bob", 1), ("root", 1)):
        assert len((await call(server, person, "GET", "/delegations")).json()["delegations"]) == seen
    revoked = await call(server, "bob", "POST", f"/delegations/{made.json()['delegation_id']}/revoke")
    assert revoked.status_code == 200
    again = await call(server, "bob", "POST", f"/delegations/{made.json()['delegation_id']}/revoke")
    assert again.status_code == 404
    assert (await call(server, "root", "GET", "/delegations")).json()["delegations"] == []


async def test_nobody_but_an_administrator_lends_what_is_somebody_elses(server: Served) -> None:
    body = {"from": "ada", "to": "bob", "until": in_hours(5)}
    assert (await call(server, "bob", "POST", "/delegations", body)).status_code == 403
    to_self = await call(server, "root", "POST", "/delegations", {**body, "to": "root"})
    assert to_self.status_code == 403
    assert (await call(server, "root", "POST", "/delegations", body)).status_code == 201


async def test_an_agent_delegates_and_reads_nothing(server: Served) -> None:
    request_id = await asked(server)
    async with server.agent() as client:
        for method, path in (
            ("POST", f"/approvals/{request_id}/delegate"),
            ("POST", "/delegations"),
            ("GET", "/delegations"),
            ("POST", "/delegations/del_x/revoke"),
        ):
            answer = await client.request(method, f"/api/v1{path}", json={"to": "ada"})
            assert answer.status_code == 403, (path, answer.text)


NONSENSE: list[tuple[dict[str, Any], str]] = [
    ({"until": in_hours(-1)}, "until"),
    ({"until": in_hours(24 * 40)}, "until"),
    ({"until": "tomorrow"}, "until"),
    ({"until": 2_000_000_000}, "until"),
    ({"until": "2030-01-01T00:00:00"}, "until"),
    ({"starts_at": in_hours(-1)}, "from"),
    ({"to": "nobody"}, "to"),
    ({"to": "a\x00"}, "to"),
    ({"to": "ada"}, "to"),
    ({"groups": ["security"]}, "groups"),
    ({"action_types": ["everything"]}, "action_types"),
    ({"max_risk": "huge"}, "max_risk"),
    ({"request": "req_1"}, "request"),
    ({"reason": "x" * 501}, "reason"),
]


async def test_a_delegation_that_makes_no_sense_is_refused_with_its_field(server: Served) -> None:
    for change, field in NONSENSE:
        body = {"to": "bob", "until": in_hours(5), **change}
        answer = await call(server, "ada", "POST", "/delegations", body)
        assert answer.status_code == 422, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == [field], change


async def test_an_unknown_request_is_not_delegated(server: Served) -> None:
    answer = await call(server, "ada", "POST", "/approvals/req_x/delegate", {"to": "bob"})
    assert answer.status_code == 404
