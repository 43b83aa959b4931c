"""A person who decides inside the program decides on what they saw, under rules in force from the start."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hitl_contract.action import action_digest, parse_action
from hitl_mcp.gate import (
    ApprovalDenied,
    CallbackAnswer,
    CallbackQuestion,
    EngineRefused,
    Mode,
    NotPossible,
    RequestStatus,
    RiskLevel,
    open_gate,
)
from hitl_mcp.policies.errors import PolicyRefused
from hitl_mcp.wiring import build_application
from tests.tools.served import PASSWORD, Served

ACTION: dict[str, Any] = {"type": "tool_call", "server": "bank", "tool": "pay", "arguments": {"amount": 5}}
MORE = {"arguments": {"amount": 500}}
ADA = {"person": "ada", "password": PASSWORD}
DENYING = """
rules:
  - {name: never, match: {action: tool_call}, then: deny, because: nobody pays}
"""


@pytest.mark.parametrize("verdict", ["approve", "deny"])
async def test_what_was_edited_after_it_was_asked_is_not_decided_unseen(server: Served, verdict: str) -> None:
    async with open_gate("builder", settings=server.settings) as gate:
        request = await gate.create_request(ACTION)
        edited = await server.edit(await server.one_pending(), MORE)
        for seen in (None, request.action_digest):
            with pytest.raises(EngineRefused, match="decide anew"):
                await gate.respond_to_request(request.request_id, verdict, **ADA, action_digest=seen)
        [waiting] = await gate.get_pending_requests()
        assert (waiting.status, waiting.action_digest) == (RequestStatus.PENDING, edited["action_digest"])
        decided = await gate.respond_to_request(
            request.request_id, verdict, **ADA, action_digest=waiting.action_digest
        )
        assert decided.ended


async def test_asking_again_for_what_was_edited_is_not_seeing_the_edit(server: Served) -> None:
    async with open_gate("builder", settings=server.settings) as gate:
        request = await gate.create_request(ACTION)
        await server.edit(await server.one_pending(), MORE)
        again = await gate.create_request(ACTION)
        assert again.request_id == request.request_id
        assert again.action_digest != action_digest(parse_action(ACTION))
        with pytest.raises(EngineRefused, match="decide anew"):
            await gate.respond_to_request(again.request_id, "approve", **ADA)


async def test_what_another_program_asked_for_is_decided_by_its_digest_alone(server: Served) -> None:
    async with (
        open_gate("builder", settings=server.settings) as one,
        open_gate("builder", settings=server.settings) as two,
    ):
        request = await one.create_request(ACTION)
        with pytest.raises(NotPossible, match="action_digest"):
            await two.respond_to_request(request.request_id, "approve", **ADA)
        with pytest.raises(EngineRefused):
            await two.respond_to_request(request.request_id, "approve", **ADA, action_digest="sha-256:x")
        decided = await two.respond_to_request(
            request.request_id, "approve", **ADA, action_digest=request.action_digest
        )
        assert decided.status is RequestStatus.APPROVED


async def test_the_rules_are_in_force_for_the_very_first_requests_and_on_record(server: Served) -> None:
    async def approving(_: CallbackQuestion) -> CallbackAnswer:
        return CallbackAnswer.APPROVE

    folder = server.settings.policies_directory
    folder.mkdir(exist_ok=True)
    (folder / "rules.yaml").write_text(DENYING)
    async with open_gate(
        "builder",
        settings=server.settings,
        mode=Mode.CALLBACK,
        callback=approving,
        callback_ceiling=RiskLevel.CRITICAL,
    ) as gate:
        asked = [gate.approve(ACTION | {"arguments": {"amount": amount}}) for amount in range(8)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ApprovalDenied}
    async with build_application(server.settings) as application:
        recorded = [entry.event for entry in await application.audit.tail(100)]
    assert "rules.in_force" in recorded


async def test_rules_that_are_refused_open_no_gate(server: Served) -> None:
    folder = server.settings.policies_directory
    folder.mkdir(exist_ok=True)
    (folder / "rules.yaml").write_text("rules: [{name: never, then: perhaps}]")
    with pytest.raises(PolicyRefused, match="perhaps"):
        async with open_gate("builder", settings=server.settings):
            raise AssertionError("it opened")
