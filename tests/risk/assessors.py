"""Assessors that do as a test says, and submissions to assess."""

from __future__ import annotations

import asyncio

from hitl_contract.action import parse_action
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.terms import AgentFacts
from hitl_mcp.risk.assessor import Opinion

AGENT = AgentFacts("coder-1")


def submission(action: dict[str, object] | None = None, claim: RiskLevel | None = None) -> Submission:
    wanted = action or {"type": "code_execution", "language": "python", "code": "print(6 * 7)\n"}
    return Submission(parse_action(wanted), "a test", risk_level=claim)


def python(code: str) -> dict[str, object]:
    return {"type": "code_execution", "language": "python", "code": code}


class Says:
    """Votes for a level, or has no opinion."""

    def __init__(self, name: str, level: RiskLevel | None, *, essential: bool = False) -> None:
        self.name = name
        self.essential = essential
        self.asked = 0
        self._level = level

    def at_once(self, agent: AgentFacts, submission: Submission) -> Opinion | None:
        return None

    async def assess(self, agent: AgentFacts, submission: Submission) -> Opinion:
        self.asked += 1
        return Opinion(self._level, f"{self.name} has looked")


class SaysAtOnce(Says):
    """Answers a small action at once, with its opinion or by failing."""

    def __init__(self, name: str, answer: Opinion | BaseException) -> None:
        super().__init__(name, None)
        self._answer = answer

    def at_once(self, agent: AgentFacts, submission: Submission) -> Opinion | None:
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer


class Fails(Says):
    def __init__(self, name: str, failure: BaseException, *, essential: bool = False) -> None:
        super().__init__(name, None, essential=essential)
        self._failure = failure

    async def assess(self, agent: AgentFacts, submission: Submission) -> Opinion:
        raise self._failure


class Hangs(Says):
    """Never answers, and does not heed being cancelled either, until a test releases it."""

    def __init__(self, name: str, *, essential: bool = False) -> None:
        super().__init__(name, None, essential=essential)
        self.released = asyncio.Event()

    async def assess(self, agent: AgentFacts, submission: Submission) -> Opinion:
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                continue
        return Opinion(RiskLevel.CRITICAL, "too late")


class Answers(Says):
    """Returns something that is no opinion."""

    def __init__(self, name: str, answer: object) -> None:
        super().__init__(name, None)
        self._answer = answer

    async def assess(self, agent: AgentFacts, submission: Submission) -> Opinion:
        return self._answer  # type: ignore[return-value]
