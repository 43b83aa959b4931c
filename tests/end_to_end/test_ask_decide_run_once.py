"""The whole way over real transports: ask, decide, mint, run once in a sandbox (the three invariants)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from tests.end_to_end.house import PROGRAM, House, ToolRefused, open_house

pytestmark = pytest.mark.timeout(180)


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_what_is_approved_runs_exactly_once_and_its_result_stays(house: House, transport: str) -> None:
    async with (
        house.agent("approval", transport) as asking,
        house.agent("executor", transport) as running,
    ):
        asked = await asking.ask()
        assert asked["status"] == "PENDING"
        assert asked.get("capability_token") is None
        await house.decide(asked)
        answered = await asking.call("check_status", request_id=asked["request_id"], wait_seconds=20)
        assert answered["status"] == "APPROVED"
        token = answered["capability_token"]
        first = await running.call("execute", capability_token=token, wait_seconds=30)
        assert first["status"] == "completed"
        assert (first["stdout"], first["result"]) == ("42\n", {"answer": 42})
        with pytest.raises(ToolRefused, match="already executed") as again:
            await running.call("execute", capability_token=token, action=PROGRAM, wait_seconds=30)
        assert first["execution_id"] in str(again.value)
        later = await running.call("get_execution", execution_id=first["execution_id"])
        assert later["stdout"] == "42\n"
    exported = await house.command("hitl-executor", "audit", "verify", "--json")
    assert exported["intact"] is True
    assert (await house.command("hitl", "audit", "verify", "--json"))["intact"] is True


async def test_what_is_not_approved_does_not_run(house: House) -> None:
    async with house.agent() as asking, house.agent("executor") as running:
        pending, denied, cancelled = [
            await asking.ask({**PROGRAM, "input_data": {"a": number, "b": 1}}) for number in range(3)
        ]
        await house.decide(denied, "deny")
        await asking.call("cancel_request", request_id=cancelled["request_id"])
        for asked, status in ((pending, "PENDING"), (denied, "DENIED"), (cancelled, "CANCELLED")):
            answer = await asking.call("check_status", request_id=asked["request_id"])
            assert (answer["status"], answer.get("capability_token")) == (status, None)
            with pytest.raises(ToolRefused, match="invalid_token"):
                await running.call("execute", capability_token=asked["request_id"], action=PROGRAM)
        with pytest.raises(ToolRefused):
            await running.call("execute", action=PROGRAM)
    exported = await house.command("hitl-executor", "audit", "verify", "--json")
    assert exported["intact"] is True
    key = (await house.command("hitl-executor", "agents", "add", "robot", "--json"))["api_key"]
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
        listed = await http.get(f"{house.executor_url}/api/v1/executions")
    assert listed.json()["executions"] == []


async def test_another_program_under_a_good_token_is_refused_and_leaves_the_token_unspent(
    house: House,
) -> None:
    async with house.agent() as asking, house.agent("executor") as running:
        asked = await asking.ask()
        await house.decide(asked)
        token = (await asking.call("check_status", request_id=asked["request_id"]))["capability_token"]
        with pytest.raises(ToolRefused, match="action_mismatch"):
            await running.call("execute", capability_token=token, action={**PROGRAM, "code": "print(6 * 8)"})
        done = await running.call("execute", capability_token=token, action=PROGRAM, wait_seconds=30)
        assert done["stdout"] == "42\n"


async def test_an_agent_with_every_credential_it_can_have_approves_nothing(house: House) -> None:
    async with house.agent() as asking:
        asked = await asking.ask()
    executor_key = (await house.command("hitl-executor", "agents", "add", "robot", "--json"))["api_key"]
    request_id = asked["request_id"]
    body = {
        "action_digest": asked["action_digest"],
        "reason": "please",
        "person": "ada",
        "verdict": "approve",
    }
    attempts = 0
    async with httpx2.AsyncClient(base_url=house.approval_url, timeout=30) as http:
        schema = (
            await http.get("/api/openapi.json", headers={"Authorization": f"Bearer {house.api_key}"})
        ).json()
        paths = [
            *schema["paths"],
            f"/requests/{request_id}/approve",
            f"/requests/{request_id}/decide",
            "/sign-in",
        ]
        for path in paths:
            for credential in (house.api_key, executor_key, request_id, "null"):
                for method in ("POST", "PUT", "PATCH", "GET", "DELETE"):
                    target = path.replace("{request_id}", request_id).replace("{id}", request_id)
                    if path == "/api/v1/approvals" or target.endswith("cancel"):
                        continue
                    headers = {
                        "Authorization": f"Bearer {credential}",
                        "X-Person": "ada",
                        "X-Forwarded-For": "::1",
                    }
                    # It would wait for as long as this client does.
                    query = {"timeout_seconds": "0"} if target.endswith("/wait") else {}
                    as_json = await http.request(method, target, headers=headers, json=body, params=query)
                    as_form = await http.request(method, target, headers=headers, params={**body, **query})
                    assert as_json.status_code < 500
                    assert as_form.status_code < 500
                    attempts += 2
        assert attempts > 100
    async with house.agent() as asking:
        answer = await asking.call("check_status", request_id=request_id)
    assert answer["status"] == "PENDING"
    assert json.dumps(answer["decisions"]) == "[]"
