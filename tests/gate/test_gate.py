"""`ApprovalGate`: the engine as a library, in this process and over a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hitl_mcp.errors import SignInRefused
from hitl_mcp.gate import (
    AlreadyUsed,
    ApprovalDenied,
    ApprovalGate,
    ApprovalPolicy,
    ApprovalTimedOut,
    Denied,
    EditNotApplicable,
    EngineRefused,
    EngineUnavailable,
    GateEvent,
    NotPossible,
    PolicyNotMet,
    Received,
    Requested,
    RequestStatus,
    connect_gate,
    open_gate,
)
from hitl_mcp.gate.functions import FunctionCalls
from hitl_mcp.processes import free_port
from tests.tools.served import PASSWORD, Served

ACTION: dict[str, Any] = {"type": "tool_call", "server": "bank", "tool": "pay", "arguments": {"amount": 5}}


@asynccontextmanager
async def gate_of(kind: str, server: Served, **options: Any) -> AsyncIterator[ApprovalGate]:
    if kind == "embedded":
        async with open_gate("builder", settings=server.settings, **options) as gate:
            yield gate
    else:
        runs = server.settings.home / "runs"
        async with connect_gate(server.url, server.keys["builder"], runs=runs, **options) as gate:
            yield gate


@pytest.fixture(params=["embedded", "remote"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


async def test_an_approved_function_runs_once_with_what_was_approved(server: Served, kind: str) -> None:
    done: list[Any] = []
    async with gate_of(kind, server) as gate:

        @gate.requires_approval(risk="high", reason="pays a bill")
        async def book(to: str, *more: int, currency: str = "EUR", **rest: bool) -> str:
            done.append((to, more, currency, rest))
            return "paid"

        waiting = asyncio.create_task(book("ada", 1, 2, urgent=True))
        pending = await server.one_pending()
        assert done == []
        assert pending["risk_level"] == "high"
        assert pending["justification"] == "pays a bill"
        assert pending["action"]["tool"].endswith("book")
        assert pending["action"]["arguments"] == {
            "to": "ada",
            "more": [1, 2],
            "currency": "EUR",
            "rest": {"urgent": True},
        }
        await server.decide(pending["request_id"])
        assert await waiting == "paid"
    assert done == [("ada", (1, 2), "EUR", {"urgent": True})]


async def test_a_function_that_was_not_approved_does_not_run(server: Served, kind: str) -> None:
    async with gate_of(kind, server) as gate:

        @gate.requires_approval(risk="low")
        async def erase() -> None:
            raise AssertionError("it ran")

        waiting = asyncio.create_task(erase())
        await server.decide((await server.one_pending())["request_id"], "deny", reason="keep it")
        with pytest.raises(ApprovalDenied, match="keep it"):
            await waiting


async def test_each_call_needs_its_own_approval(server: Served, kind: str) -> None:
    async with gate_of(kind, server) as gate:
        for _ in range(2):
            waiting = asyncio.create_task(gate.approve(ACTION))
            await server.decide((await server.one_pending())["request_id"])
            await waiting


async def test_of_two_programs_on_one_approval_one_acts(server: Served) -> None:
    async with gate_of("embedded", server) as one, gate_of("remote", server) as two:
        waiting = [asyncio.create_task(gate.approve(ACTION)) for gate in (one, two)]
        request = await server.one_pending()
        await asyncio.wait_for(_asked(one, request["request_id"]), 20)
        await server.decide(request["request_id"])
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AlreadyUsed", "SpentAction"]
    assert any(isinstance(outcome, AlreadyUsed) for outcome in outcomes)


async def _asked(gate: ApprovalGate, request_id: str) -> None:
    assert [each.request_id for each in await gate.get_pending_requests()] == [request_id]


async def test_arguments_are_those_of_the_moment_of_asking(server: Served) -> None:
    async with gate_of("embedded", server) as gate:
        seen: list[Any] = []

        @gate.requires_approval(risk="low")
        async def send(recipients: list[str]) -> None:
            seen.extend(recipients)

        recipients = ["ada"]
        waiting = asyncio.create_task(send(recipients))
        pending = await server.one_pending()
        recipients.append("eve")
        await server.decide(pending["request_id"])
        await waiting
    assert seen == ["ada"]


def test_a_sync_function_and_arguments_that_are_no_json_are_refused() -> None:
    with pytest.raises(TypeError, match="async def"):
        FunctionCalls(len, "python")

    async def act(what: object) -> None: ...

    calls = FunctionCalls(act, "python")
    for value in (object(), {1: 2}, b"x", (1,), float("nan"), 2**60, {"a": [Path("/")]}):
        with pytest.raises(TypeError, match="'what'"):
            calls.action_of((value,), {})
    with pytest.raises(TypeError):
        calls.action_of((), {})


def test_an_edit_that_is_no_call_of_the_function_is_refused() -> None:
    async def act(what: int, *more: int) -> None: ...

    calls = FunctionCalls(act, "python")
    asked = calls.action_of((1, 2), {})
    assert calls.arguments_of(asked) == ((1, 2), {})
    for update in (
        {"tool": "other"},
        {"server": "other"},
        {"arguments": {"what": 1}},
        {"arguments": {"what": 1, "more": 2}},
        {"arguments": {"what": 1, "more": [], "x": 1}},
    ):
        with pytest.raises(EditNotApplicable):
            calls.arguments_of(asked.model_copy(update=update))


async def test_events_tell_what_happens_and_a_failing_handler_changes_nothing(
    server: Served, kind: str
) -> None:
    heard: list[GateEvent] = []

    def failing(_: GateEvent) -> None:
        raise RuntimeError("handler")

    async def listening(event: GateEvent) -> None:
        heard.append(event)

    async with gate_of(kind, server) as gate:
        gate.on(failing)
        gate.on(listening)
        iterated = asyncio.create_task(anext(gate.events()))
        await asyncio.sleep(0)
        for verdict in ("approve", "deny"):
            request = await gate.create_request(ACTION | {"arguments": {"verdict": verdict}})
            await server.decide(request.request_id, verdict)
            await gate.wait_for_approval(request.request_id)
        assert isinstance(await iterated, Requested)
    assert [type(event) for event in heard] == [Requested, Received, Requested, Denied]


async def test_a_person_decides_in_the_program_with_their_own_password(server: Served) -> None:
    async with gate_of("embedded", server) as gate:
        request = await gate.create_request(ACTION)
        with pytest.raises(SignInRefused):
            await gate.respond_to_request(request.request_id, "approve", person="ada", password="guess")
        decided = await gate.respond_to_request(
            request.request_id, "approve", person="ada", password=PASSWORD
        )
        assert decided.status is RequestStatus.APPROVED


async def test_an_agents_key_never_decides(server: Served) -> None:
    async with gate_of("remote", server) as gate:
        request = await gate.create_request(ACTION)
        with pytest.raises(NotPossible):
            await gate.respond_to_request(request.request_id, "approve", person="ada", password=PASSWORD)
        assert (await gate.wait_for_approval(request.request_id, timeout_seconds=0)).status.value == "PENDING"


async def test_a_request_can_be_withdrawn(server: Served, kind: str) -> None:
    async with gate_of(kind, server) as gate:
        request = await gate.create_request(ACTION)
        cancelled = await gate.cancel_request(request.request_id, reason="changed my mind")
        assert cancelled.status is RequestStatus.CANCELLED
        assert await gate.get_pending_requests() == ()
        with pytest.raises(EngineRefused):
            await gate.cancel_request("req_unknown")


async def test_fewer_approvers_than_the_policy_wants_is_no_approval(server: Served) -> None:
    policy = ApprovalPolicy(required_approvers=2)
    async with gate_of("remote", server, policy=policy) as gate:
        with pytest.raises(PolicyNotMet) as refused:
            await gate.approve(ACTION)
        assert refused.value.request.status is RequestStatus.CANCELLED


async def test_in_this_process_the_policy_makes_the_rules_ask_for_more(server: Served) -> None:
    policy = ApprovalPolicy(required_approvers=2)
    async with gate_of("embedded", server, policy=policy) as gate:
        waiting = asyncio.create_task(gate.approve(ACTION))
        request = await server.one_pending()
        await server.decide(request["request_id"])
        assert (await gate.wait_for_approval(request["request_id"], timeout_seconds=0)).ended is False
        await server.decide(request["request_id"], person="bob")
        assert (await waiting).request_id == request["request_id"]


async def test_nobody_deciding_in_time_is_no_approval(server: Served, kind: str) -> None:
    async with gate_of(kind, server) as gate:
        policy = ApprovalPolicy(timeout_seconds=10)
        request = await gate.create_request(ACTION, policy=policy)
        assert not (await gate.wait_for_approval(request.request_id, timeout_seconds=0.1)).ended


async def test_a_policy_that_is_not_enabled_asks_nobody(server: Served, kind: str) -> None:
    async with gate_of(kind, server, policy=ApprovalPolicy(enabled=False)) as gate:
        assert (await gate.approve(ACTION)).request_id is None
    assert await server.pending() == []


async def test_no_server_is_no_approval(tmp_path: Path) -> None:
    async with connect_gate(f"http://127.0.0.1:{free_port()}", "key", runs=tmp_path) as gate:
        with pytest.raises(EngineUnavailable):
            await gate.approve(ACTION)


async def test_a_wrong_key_is_no_approval(server: Served, tmp_path: Path) -> None:
    async with connect_gate(server.url, "hitl_agent_wrong", runs=tmp_path) as gate:
        with pytest.raises(EngineRefused):
            await gate.approve(ACTION)


def test_the_two_ways_of_not_being_approved_are_told_apart() -> None:
    assert not issubclass(ApprovalTimedOut, ApprovalDenied)
