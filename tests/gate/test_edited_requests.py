"""What a gate hands out to be done after a person edited it or attached conditions: that, nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hitl_mcp.gate import EditNotApplicable
from tests.gate.test_gate import ACTION, gate_of
from tests.tools.served import Served, action


@pytest.fixture(params=["embedded", "remote"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


async def edit_and_approve(server: Served, change: dict[str, Any]) -> None:
    edited = await server.edit(await server.one_pending(), change)
    await server.decide(edited["request_id"], person="bob", action_digest=edited["action_digest"])


async def test_the_edited_action_is_the_one_to_do(server: Served, kind: str) -> None:
    async with gate_of(kind, server) as gate:
        waiting = asyncio.create_task(gate.approve(ACTION))
        await edit_and_approve(server, {"arguments": {"amount": 1}})
        spent = await waiting
    assert spent.action.model_dump(mode="json") == {**ACTION, "arguments": {"amount": 1}}


async def test_a_function_gets_the_edited_arguments_or_does_not_run(server: Served, kind: str) -> None:
    done: list[int] = []
    async with gate_of(kind, server) as gate:

        @gate.requires_approval(risk="low")
        async def pay(amount: int) -> None:
            done.append(amount)

        waiting = asyncio.create_task(pay(500))
        await edit_and_approve(server, {"arguments": {"amount": 5}})
        await waiting
        assert done == [5]
        waiting = asyncio.create_task(pay(500))
        await edit_and_approve(server, {"arguments": {"amount": 5, "to": "eve"}})
        with pytest.raises(EditNotApplicable, match='"to":"eve"'):
            await waiting
    assert done == [5]


async def test_conditions_are_part_of_what_is_to_be_done(server: Served, kind: str) -> None:
    async with gate_of(kind, server) as gate:
        waiting = asyncio.create_task(gate.approve(action()))
        request = await server.one_pending()
        await server.decide(request["request_id"], conditions={"limits": {"limits.wall_seconds": 3}})
        spent = await waiting
    done = spent.action.model_dump(mode="json")
    assert done["limits"]["wall_seconds"] == 3
    assert {**done, "limits": None} == {**request["action"], "limits": None}
