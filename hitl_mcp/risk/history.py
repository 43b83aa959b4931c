"""How operations like this one, asked for by the same agent, ended before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from hitl_contract.action import action_digest
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.terms import AgentFacts
from hitl_mcp.risk.assessor import Opinion
from hitl_mcp.risk.shapes import Shape, shape_of
from server_kit.clock import Clock
from server_kit.small_values import read_value

REMEMBERED: Final = timedelta(seconds=5)
"""How long an agent's record is used before it is read again: a vote may be that much behind."""

_AGENTS: Final = 512
_LONG_RECORD: Final = 10
_OFTEN_DENIED: Final = 3
_NO_RECORD: Final = Opinion(None, "people have not decided on anything by this agent yet")


@dataclass(frozen=True, slots=True)
class PastOperation:
    """One operation that people decided on: approved, or denied (or approved, and then taken back)."""

    digest: str
    shape: Shape
    approved: bool


class PastOperations(Protocol):
    async def decided(self, agent: str) -> Sequence[PastOperation]:
        """The newest operations of this agent that people, not rules, decided on."""
        ...


@dataclass(frozen=True, slots=True)
class _Remembered:
    until: datetime
    operations: Sequence[PastOperation]


class HistoryVote:
    """Denials raise the level. A long clean record votes low, which lowers nothing that others have seen."""

    name = "history"
    essential = False

    def __init__(self, operations: PastOperations, clock: Clock) -> None:
        self._operations = operations
        self._clock = clock
        self._agents: OrderedDict[str, _Remembered] = OrderedDict()

    def at_once(self, agent: AgentFacts, submission: Submission) -> Opinion | None:
        record = self._remembered(agent.name)
        if record is None:
            return None
        return (
            judge(record, action_digest(submission.action), shape_of(submission.action))
            if record
            else _NO_RECORD
        )

    async def assess(self, agent: AgentFacts, submission: Submission) -> Opinion:
        record = await self._record(agent.name)
        if not record:
            return _NO_RECORD
        digest = await read_value(submission.action, action_digest)
        return judge(record, digest, shape_of(submission.action))

    async def _record(self, agent: str) -> Sequence[PastOperation]:
        remembered = self._remembered(agent)
        if remembered is not None:
            return remembered
        until = self._clock.now() + REMEMBERED
        known = self._agents[agent] = _Remembered(until, await self._operations.decided(agent))
        self._agents.move_to_end(agent)
        if len(self._agents) > _AGENTS:
            self._agents.popitem(last=False)
        return known.operations

    def _remembered(self, agent: str) -> Sequence[PastOperation] | None:
        known = self._agents.get(agent)
        # A clock that was set back must not make an old record last.
        if known is None or not known.until - REMEMBERED <= self._clock.now() < known.until:
            return None
        self._agents.move_to_end(agent)
        return known.operations


def judge(record: Sequence[PastOperation], digest: str, shape: Shape) -> Opinion:
    """The vote that follows from a record.

    High for the very action that was denied, or where three alike were; medium where one alike was; low where
    ten alike were approved and none denied.
    """
    same = [each for each in record if each.digest == digest]
    if same and not same[0].approved:
        return Opinion(RiskLevel.HIGH, "people denied this very action when it was last asked for")
    alike = [each for each in record if each.shape.is_like(shape)]
    denied = sum(not each.approved for each in alike)
    approved = len(alike) - denied
    if denied:
        level = RiskLevel.HIGH if denied >= _OFTEN_DENIED else RiskLevel.MEDIUM
        return Opinion(level, f"of {len(alike)} alike by this agent, people denied {denied}")
    if approved >= _LONG_RECORD:
        return Opinion(RiskLevel.LOW, f"people approved {approved} alike by this agent and denied none")
    return Opinion(None, f"people approved {approved} alike by this agent: too few to say anything")
