"""A callback of the program as one more rule: it decides what people would be asked, up to a risk.

It stands behind the configured rules and never overrules them: what they allow or deny it is not asked. What
it decides is recorded as the ruling of the rule `callback`, never as a person's decision.

1. above the ceiling it is not asked;
2. an error, an answer of another kind and one that takes too long count as no answer;
3. no answer goes to people in mode MIXED, and is a denial in mode CALLBACK.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, cast

import structlog

from hitl_contract.action import Action
from hitl_mcp.approvals.models import RiskLevel, Submission
from hitl_mcp.approvals.terms import (
    AgentFacts,
    GroupQuorum,
    RiskAssessment,
    RuleVerdict,
    Ruling,
    Stage,
    Terms,
)

if TYPE_CHECKING:
    from hitl_mcp.approvals.ports import Policy

RULE: Final = "callback"
CALLBACK_SECONDS: Final = 10.0
_LEVELS: Final = tuple(RiskLevel)


class CallbackAnswer(Enum):
    """What a callback may say. ESCALATE leaves it to people."""

    APPROVE = auto()
    DENY = auto()
    ESCALATE = auto()


@dataclass(frozen=True, slots=True)
class CallbackQuestion:
    """What a callback is asked."""

    agent: str
    action: Action
    risk_level: RiskLevel
    justification: str


Callback = Callable[[CallbackQuestion], Awaitable[CallbackAnswer]]


@dataclass(frozen=True)
class GatePolicy:
    """Implements `approvals.ports.Policy` around the configured one."""

    configured: Policy
    callback: Callback | None
    ceiling: RiskLevel
    people_decide_the_rest: bool
    required_approvers: int | None

    async def evaluate(self, agent: AgentFacts, submission: Submission, risk: RiskAssessment) -> Ruling:
        ruling = await self.configured.evaluate(agent, submission, risk)
        if ruling.verdict is not RuleVerdict.ASK:
            return ruling
        if self.callback is None:
            return self._asking_enough(ruling)
        level = max(risk.level, ruling.risk.level, key=_LEVELS.index)
        answer = CallbackAnswer.ESCALATE
        if _LEVELS.index(level) <= _LEVELS.index(self.ceiling):  # 1
            question = CallbackQuestion(agent.name, submission.action, level, submission.justification)
            answer = await _ask(self.callback, question)
        match answer:
            case CallbackAnswer.APPROVE:
                return _ruled(ruling, RuleVerdict.ALLOW, "The program's callback approved it.")
            case CallbackAnswer.DENY:
                return _ruled(ruling, RuleVerdict.DENY, "The program's callback denied it.")
            case CallbackAnswer.ESCALATE:  # 3
                if self.people_decide_the_rest:
                    return self._asking_enough(ruling)
                return _ruled(ruling, RuleVerdict.DENY, "The program's callback did not decide it.")

    def _asking_enough(self, ruling: Ruling) -> Ruling:
        missing = (self.required_approvers or 0) - ruling.terms.required_approvals
        if missing <= 0:
            return ruling
        *earlier, last = ruling.terms.stages
        more = Stage((*last.quorums, GroupQuorum(count=missing)))
        return replace(ruling, terms=replace(ruling.terms, stages=(*earlier, more)))


async def _ask(callback: Callback, question: CallbackQuestion) -> CallbackAnswer:
    try:
        async with asyncio.timeout(CALLBACK_SECONDS):
            answer = cast("object", await callback(question))
    except Exception as error:  # 2
        # Its message may hold the action's payload.
        structlog.get_logger(__name__).warning("callback_failed", error=type(error).__name__)
        return CallbackAnswer.ESCALATE
    return answer if isinstance(answer, CallbackAnswer) else CallbackAnswer.ESCALATE


def _ruled(ruling: Ruling, verdict: RuleVerdict, explanation: str) -> Ruling:
    return replace(ruling, rule=RULE, verdict=verdict, terms=Terms(stages=()), explanation=explanation)
