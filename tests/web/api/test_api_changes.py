"""Editing, conditions, batches and how a request stands, over REST: what people may do and agents may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from hitl_contract.action import action_digest, parse_action
from tests.tools.ruled import make_ruled_template
from tests.tools.served import Served, Template, action, asking


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_ruled_template(tmp_path_factory.mktemp("ruled") / "home")


@pytest_asyncio.fixture
async def server(tmp_path: Path, home: Template) -> AsyncIterator[Served]:
    async with home.served(tmp_path / "home") as running:
        yield running


async def ask(server: Served, code: str = "print(6 * 7)", **fields: Any) -> dict[str, Any]:
    async with server.agent() as client:
        answer = await client.post(
            "/api/v1/approvals", json={**asking(code), "action": {**action(code), **fields}}
        )
    assert answer.status_code == 201, answer.text
    return answer.json()


async def shown(server: Served, request_id: str, person: str = "ada") -> dict[str, Any]:
    async with await server.person(person) as client:
        return (await client.get(f"/api/v1/approvals/{request_id}")).json()


async def call(
    server: Served, path: str, body: dict[str, Any], *, person: str = "ada"
) -> tuple[int, dict[str, Any]]:
    async with await server.person(person) as client:
        answer = await client.post(f"/api/v1/approvals/{path}", json=body)
    return answer.status_code, answer.json()


async def test_people_see_which_rule_applies_who_has_approved_and_what_is_still_needed(
    server: Served,
) -> None:
    request_id = (await ask(server, "staged = 1"))["request_id"]
    first = (await shown(server, request_id))["standing"]
    assert (first["rule"], first["asks"]) == ("two-stages", "2 from platform, then 1 from security")
    assert first["needed"] == first["asks"]
    assert "two teams" in first["explanation"]
    assert [stage["state"] for stage in first["stages"]] == ["open", "to come"]
    assert {vote["assessor"] for vote in first["votes"]}
    await server.decide(request_id, person="bob")
    second = (await shown(server, request_id))["standing"]
    assert second["needed"] == "1 more of 2 from platform, then 1 from security"
    assert [taken["person"] for taken in second["stages"][0]["quorums"][0]["taken"]] == ["bob"]
    status, problem = await call(server, f"{request_id}/approve", {}, person="cleo")
    assert (status, problem["code"]) == (403, "not_your_turn")
    await server.decide(request_id, person="ada")
    assert (await shown(server, request_id))["standing"]["needed"] == "1 from security"
    await server.decide(request_id, person="cleo")
    last = await shown(server, request_id)
    assert (last["status"], last["standing"]["needed"]) == ("APPROVED", "")
    assert [stage["state"] for stage in last["standing"]["stages"]] == ["done", "done"]


async def test_an_edit_changes_the_digest_voids_approvals_and_keeps_both_wordings(server: Served) -> None:
    asked = await ask(server, "staged = 1")
    await server.decide(asked["request_id"], person="bob")
    edited = action("staged = 2")
    body = {"action": edited, "action_digest": asked["action_digest"], "reason": "two is enough"}
    status, answer = await call(server, f"{asked['request_id']}/edit", body)
    assert status == 200, answer
    assert answer["action_digest"] == action_digest(parse_action(edited)) != asked["action_digest"]
    assert answer["proposed_digest"] == asked["action_digest"]
    assert answer["approvals"]["received"] == 0
    revisions = answer["standing"]["revisions"]
    assert [(each["revision"], each["editor"]) for each in revisions] == [(0, "builder"), (1, "ada")]
    assert revisions[1]["reason"] == "two is enough"
    status, again = await call(server, f"{asked['request_id']}/edit", body, person="bob")
    assert (status, again["code"]) == (409, "digest_changed")
    status, blind = await call(server, f"{asked['request_id']}/approve", {}, person="cleo")
    assert (status, blind["code"]) == (409, "digest_changed")


async def test_conditions_become_part_of_what_is_approved(server: Served) -> None:
    asked = await ask(server)
    body = {"conditions": {"offered": ["Ten seconds at most"], "limits": {"limits.memory_mb": 64}}}
    status, answer = await call(server, f"{asked['request_id']}/approve", body)
    assert (status, answer["status"]) == (200, "APPROVED")
    assert answer["action"]["limits"]["wall_seconds"] == 10
    assert answer["action"]["limits"]["memory_mb"] == 64
    async with server.agent() as client:
        own = (await client.get(f"/api/v1/approvals/{asked['request_id']}")).json()
    assert own["effective_action"]["limits"]["memory_mb"] == 64
    assert own["capability_token"]


@pytest.mark.parametrize(
    ("conditions", "field"),
    [
        ({"limits": {"limits.wall_seconds": 3000}}, "conditions"),
        ({"limits": {"limits.nothing": 1}}, "conditions"),
        ({"offered": ["Whatever"]}, "conditions"),
        ({"limits": {"limits.wall_seconds": True}}, "conditions.limits.limits.wall_seconds"),
        ({"colour": "red"}, "conditions.colour"),
        ("be careful", "conditions"),
        ({"limits": {"limits.wall_seconds": "ten"}}, "conditions"),
    ],
)
async def test_conditions_that_are_none_are_refused_by_field_and_decide_nothing(
    server: Served, conditions: object, field: str
) -> None:
    asked = await ask(server)
    status, problem = await call(server, f"{asked['request_id']}/approve", {"conditions": conditions})
    assert status == 422, problem
    assert any(each["field"].startswith(field) for each in problem["errors"])
    assert (await shown(server, asked["request_id"]))["decisions"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"action": {"type": "magic"}}, "action.type"),
        ({"action": None}, "action"),
        ({"action": "{"}, "action"),
        ({"action": {**action(), "limits": {"wall_seconds": -1}}}, "action.limits.wall_seconds"),
        ({"action_digest": 5}, "action_digest"),
        ({"colour": 1}, "colour"),
        ({"reason": "x" * 3000}, "reason"),
    ],
)
async def test_an_edit_that_is_none_is_refused_by_field_and_changes_nothing(
    server: Served, change: dict[str, Any], field: str
) -> None:
    asked = await ask(server)
    body = {"action": action("print(1)"), "action_digest": asked["action_digest"], **change}
    status, problem = await call(server, f"{asked['request_id']}/edit", body)
    assert status == 422, problem
    assert any(each["field"].startswith(field) for each in problem["errors"]), problem
    assert (await shown(server, asked["request_id"]))["revision"] == 0


async def test_a_batch_decides_each_for_itself_by_its_own_digest(server: Served) -> None:
    first, second, third = [await ask(server, f"print({number})") for number in range(3)]
    await server.decide(third["request_id"], "deny")
    items = [
        {"request_id": first["request_id"], "action_digest": first["action_digest"], "verdict": "approve"},
        {"request_id": second["request_id"], "action_digest": "sha-256:other", "verdict": "approve"},
        {"request_id": third["request_id"], "action_digest": third["action_digest"], "verdict": "approve"},
        {"request_id": "req_nothing", "action_digest": "x", "verdict": "deny"},
    ]
    status, answer = await call(server, "batch", {"items": items})
    assert status == 200, answer
    assert [each["decided"] for each in answer["results"]] == [True, False, False, False]
    assert answer["results"][0]["approval"]["status"] == "APPROVED"
    codes = [each["refusal"]["code"] for each in answer["results"][1:]]
    assert codes == ["digest_changed", "already_ended", "request_not_found"]
    mistakes: list[dict[str, Any]] = [
        {},
        {"items": []},
        {"items": [items[0]] * 2},
        {"items": [{**items[0], "verdict": "maybe"}]},
    ]
    for body in mistakes:
        status, problem = await call(server, "batch", body)
        assert (status, problem["errors"][0]["field"].split(".")[0]) == (422, "items")


async def test_a_look_that_was_too_short_is_said_with_the_time_that_is_left(server: Served) -> None:
    asked = await ask(server, "slowly = 1")
    async with await server.person() as client:
        answer = await client.post(f"/api/v1/approvals/{asked['request_id']}/approve", json={})
    assert (answer.status_code, answer.json()["code"]) == (403, "review_too_short")
    assert 0 < int(answer.headers["retry-after"]) <= 30


async def test_no_agent_reaches_any_route_that_changes_or_decides(server: Served) -> None:
    asked = await ask(server)
    request_id, digest = asked["request_id"], asked["action_digest"]
    item = {"request_id": request_id, "action_digest": digest, "verdict": "approve"}
    async with server.agent() as agent:
        for path, body in (
            (f"{request_id}/edit", {"action": action("print(0)"), "action_digest": digest}),
            (f"{request_id}/approve", {"conditions": {"offered": ["Ten seconds at most"]}}),
            (f"{request_id}/revoke", {}),
            (f"{request_id}/delegate", {"to": "bob"}),
            ("batch", {"items": [item]}),
        ):
            answer = await agent.post(f"/api/v1/approvals/{path}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "person_needed"), path
    after = await shown(server, request_id)
    assert (after["status"], after["revision"], after["decisions"]) == ("PENDING", 0, [])


async def test_the_description_names_the_bodies_and_answers_of_these_routes(server: Served) -> None:
    async with server.agent() as client:
        paths = (await client.get("/api/openapi.json")).json()["paths"]
    batch = paths["/api/v1/approvals/batch"]["post"]
    edit = paths["/api/v1/approvals/{request_id}/edit"]["post"]
    approve = paths["/api/v1/approvals/{request_id}/approve"]["post"]
    body = [each["requestBody"]["content"]["application/json"]["schema"] for each in (batch, edit, approve)]
    assert body[0]["properties"]["items"]["items"]["properties"].keys() == {
        "request_id",
        "action_digest",
        "verdict",
    }
    assert set(body[1]["required"]) == {"action", "action_digest"}
    assert "conditions" in body[2]["properties"]
    assert batch["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("BatchAnswer")
