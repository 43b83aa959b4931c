"""The consensus of the assessors.

The rule, in order:

1. What can be answered at once is. The other assessors are asked at the same time, each with the same bound
   of time.
2. An assessor votes for a level, has no opinion, or is left out because it failed or was too slow; its vote
   then says why.
3. The level is the highest vote. Nobody can lower what somebody else has seen: a critical finding of static
   analysis decides alone, and the agent's own claim is a floor.
4. What is not known is not low: where an essential assessor is left out, or nobody but the agent votes, the
   level is at least medium.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.terms import AgentFacts, RiskAssessment, RiskVote
from hitl_mcp.risk.assessor import Assessor, Opinion, worst
from hitl_mcp.risk.claim import AgentsClaim
from hitl_mcp.risk.errors import AssessorUnavailable
from server_kit.small_values import is_small

DEFAULT_TIMEOUT_SECONDS: Final = 10.0

_log = structlog.get_logger(__name__)


class Consensus:
    """Implements `approvals.ports.RiskAssessor`. Never raises but when its caller is cancelled."""

    def __init__(
        self, assessors: Sequence[Assessor], *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        """The agent's claim votes besides the `assessors`. Raises ValueError for two of one name."""
        self._assessors: tuple[Assessor, ...] = (*assessors, AgentsClaim())
        self._timeout_seconds = timeout_seconds
        # A task that nobody refers to may vanish while it runs; a late one may not end at once.
        self._late: set[asyncio.Task[_Answer]] = set()
        names = [assessor.name for assessor in self._assessors]
        if len(set(names)) != len(names):
            raise ValueError(f"two assessors have one name: {', '.join(sorted(names))}")

    async def assess(self, agent: AgentFacts, submission: Submission) -> RiskAssessment:
        """How risky this is, and who said so."""
        small = is_small(submission.action)
        answers = {
            each.name: answer
            for each in self._assessors
            if small and (answer := _ask_at_once(each, agent, submission)) is not None
        }
        tasks = {
            each.name: asyncio.create_task(_ask(each, agent, submission))
            for each in self._assessors
            if each.name not in answers
        }
        if tasks:
            try:
                await asyncio.wait(tasks.values(), timeout=self._timeout_seconds)
            finally:
                self._abandon([task for task in tasks.values() if not task.done()])
        counted = [
            _count(each, answers[each.name])
            if each.name in answers
            else self._count_late(each, tasks[each.name])
            for each in self._assessors
        ]
        return RiskAssessment(_level(submission, counted), tuple(each.vote for each in counted))

    def _count_late(self, assessor: Assessor, task: asyncio.Task[_Answer]) -> _Counted:
        if not task.done():
            bound = self._timeout_seconds
            return _left_out(assessor, f"no answer within {bound:g} s", "timeout", bound)
        if task.cancelled():
            return _left_out(assessor, "it was interrupted", "cancelled")
        return _count(assessor, task.result())

    def _abandon(self, tasks: Sequence[asyncio.Task[_Answer]]) -> None:
        for task in tasks:
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            task.cancel()


def _count(assessor: Assessor, answer: _Answer) -> _Counted:
    opinion, failure, seconds = answer
    if opinion is not None:
        return _Counted(assessor, RiskVote(assessor.name, opinion.level, opinion.reason, seconds))
    reason = str(failure) if isinstance(failure, AssessorUnavailable) else "it failed"
    # The text of an unforeseen error may hold code or a credential; its type does not.
    return _left_out(assessor, reason, type(failure).__name__, seconds)


_Answer = tuple[Opinion | None, Exception | None, float]


@dataclass(frozen=True, slots=True)
class _Counted:
    assessor: Assessor
    vote: RiskVote
    left_out: bool = False


def _left_out(assessor: Assessor, reason: str, error: str, seconds: float = 0.0) -> _Counted:
    _log.warning("risk assessor left out", assessor=assessor.name, error=error, seconds=seconds)
    return _Counted(assessor, RiskVote(assessor.name, None, f"left out: {reason}", seconds), left_out=True)


def _level(submission: Submission, counted: Sequence[_Counted]) -> RiskLevel:
    voted = [each.vote.level for each in counted if each.vote.level is not None]
    level = worst(submission.risk_level or RiskLevel.LOW, *voted)
    judged = any(
        each.vote.level is not None and not isinstance(each.assessor, AgentsClaim) for each in counted
    )
    blind = any(each.left_out and each.assessor.essential for each in counted)
    return worst(level, RiskLevel.MEDIUM) if blind or not judged else level


async def _ask(assessor: Assessor, agent: AgentFacts, submission: Submission) -> _Answer:
    started = time.perf_counter()
    try:
        opinion = _checked(await assessor.assess(agent, submission))
    except Exception as failure:
        return None, failure, _since(started)
    return opinion, None, _since(started)


def _ask_at_once(assessor: Assessor, agent: AgentFacts, submission: Submission) -> _Answer | None:
    started = time.perf_counter()
    try:
        opinion = assessor.at_once(agent, submission)
        if opinion is not None:
            opinion = _checked(opinion)
    except Exception as failure:
        return None, failure, _since(started)
    return None if opinion is None else (opinion, None, _since(started))


def _checked(opinion: Opinion) -> Opinion:
    level = opinion.level
    return opinion if level is None else Opinion(RiskLevel(level), opinion.reason)


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 6)
