"""A callback decides like a rule: up to its ceiling, behind the configured rules, and never as a person."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hitl_contract.action import parse_action
from hitl_mcp.approvals.models import RiskLevel, Submission
from hitl_mcp.approvals.terms import AgentFacts, RiskAssessment, RuleVerdict, Ruling, Terms
from hitl_mcp.gate import ApprovalDenied, CallbackAnswer, CallbackQuestion, Mode, open_gate
from hitl_mcp.gate.callbacks import GatePolicy
from tests.tools.served import Served

ACTION: dict[str, Any] = {
    "type": "tool_call",
    "server": "library",
    "tool": "search",
    "arguments": {"amount": 5},
}


async def approving(_: CallbackQuestion) -> CallbackAnswer:
    return CallbackAnswer.APPROVE


async def denying(_: CallbackQuestion) -> CallbackAnswer:
    return CallbackAnswer.DENY


async def failing(_: CallbackQuestion) -> CallbackAnswer:
    raise RuntimeError("no")


async def muddled(_: CallbackQuestion) -> Any:
    return True


class Fixed:
    def __init__(self, verdict: RuleVerdict) -> None:
        self.verdict = verdict

    async def evaluate(self, agent: AgentFacts, submission: Submission, risk: RiskAssessment) -> Ruling:
        return Ruling("fixed", self.verdict, risk, Terms() if self.verdict is RuleVerdict.ASK else Terms(()))


@pytest.mark.parametrize("mode", [Mode.CALLBACK, Mode.MIXED])
@pytest.mark.parametrize("configured", list(RuleVerdict))
@pytest.mark.parametrize("risk", list(RiskLevel))
@pytest.mark.parametrize("callback", [approving, denying, failing, muddled])
async def test_every_case(mode: Mode, configured: RuleVerdict, risk: RiskLevel, callback: Any) -> None:
    policy = GatePolicy(Fixed(configured), callback, RiskLevel.MEDIUM, mode is Mode.MIXED, None)
    submission = Submission(parse_action(ACTION), "why")
    ruling = await policy.evaluate(AgentFacts("a"), submission, RiskAssessment(risk))
    if configured is not RuleVerdict.ASK:
        assert (ruling.rule, ruling.verdict) == ("fixed", configured)
        return
    asked = risk in {RiskLevel.LOW, RiskLevel.MEDIUM}
    if asked and callback in (approving, denying):
        expected = RuleVerdict.ALLOW if callback is approving else RuleVerdict.DENY
    else:
        expected = RuleVerdict.ASK if mode is Mode.MIXED else RuleVerdict.DENY
    assert ruling.verdict is expected
    assert (ruling.rule == "callback") == (expected is not RuleVerdict.ASK)
    assert (ruling.terms.required_approvals > 0) == (expected is RuleVerdict.ASK)


async def test_low_risk_is_the_callbacks_and_the_rest_is_peoples(server: Served) -> None:
    async with open_gate(
        "builder",
        settings=server.settings,
        mode=Mode.MIXED,
        callback=approving,
        callback_ceiling=RiskLevel.LOW,
    ) as gate:
        spent = await gate.approve(ACTION, risk="low")
        assert spent.request_id is not None
        async with await server.person() as person:
            record = (await person.get(f"/api/v1/approvals/{spent.request_id}")).json()
        assert (record["policy"], record["auto_approved"], record["decisions"]) == ("callback", True, [])
        waiting = asyncio.create_task(gate.approve(ACTION, risk="high"))
        await server.decide((await server.one_pending())["request_id"], "deny")
        with pytest.raises(ApprovalDenied):
            await waiting


@pytest.mark.parametrize(
    "options",
    [
        {"mode": Mode.MIXED},
        {"mode": Mode.CALLBACK, "callback": approving},
        {"mode": Mode.MANUAL, "callback": approving, "callback_ceiling": RiskLevel.LOW},
    ],
)
async def test_a_callback_is_nothing_without_a_ceiling_that_was_stated(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="callback_ceiling"):
        async with open_gate("builder", **options):
            pass
