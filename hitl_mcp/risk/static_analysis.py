"""What static analysis finds in the action, as one vote."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

import structlog

from code_safety.findings import Analysis, Finding
from hitl_contract.action import Action, action_digest
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.terms import AgentFacts
from hitl_mcp.risk.assessor import Opinion
from server_kit.small_values import read_value

_log = structlog.get_logger(__name__)

_CACHED: Final = 4096
_SHOWN_FINDINGS: Final = 5


class Analyse(Protocol):
    """Pure, safe to call in threads; the same action has the same analysis."""

    def __call__(self, action: Action) -> Analysis: ...


class StaticAnalysisVote:
    """Votes for the level of the worst finding. What could not be analysed is never low."""

    name = "static analysis"
    essential = True

    def __init__(self, analyse: Analyse, warm_up: Callable[[], None] | None = None) -> None:
        self._analyse = analyse
        self._warm_up = warm_up
        self._warming: asyncio.Task[None] | None = None
        self._known: OrderedDict[str, Opinion] = OrderedDict()

    @asynccontextmanager
    async def warmed(self) -> AsyncGenerator[None]:
        """Load the analysers beside a server's start, before the first vote has to wait for it."""
        loading = asyncio.create_task(self._loaded())
        try:
            yield
        finally:
            await asyncio.wait({loading})

    async def _loaded(self) -> None:
        """Wait until the analysers are loaded, in a thread: nobody else waits."""
        if self._warming is None and self._warm_up is not None:
            self._warming = asyncio.create_task(asyncio.to_thread(self._warm_up))
            self._warming.add_done_callback(_say_if_it_failed)
        if self._warming is not None and not self._warming.done():
            await asyncio.wait({self._warming})

    def at_once(self, agent: AgentFacts, submission: Submission) -> Opinion | None:  # noqa: ARG002 - the protocol's signature
        if self._warm_up is not None and (self._warming is None or not self._warming.done()):
            return None
        # A small action is analysed again faster than it is found again.
        return opinion_on(self._analyse(submission.action))

    async def assess(self, agent: AgentFacts, submission: Submission) -> Opinion:  # noqa: ARG002 - the protocol's signature
        digest = await read_value(submission.action, action_digest)
        known = self._known.get(digest)
        if known is not None:
            self._known.move_to_end(digest)
            return known
        await self._loaded()
        opinion = opinion_on(await read_value(submission.action, self._analyse))
        self._known[digest] = opinion
        if len(self._known) > _CACHED:
            self._known.popitem(last=False)
        return opinion


def _say_if_it_failed(warming: asyncio.Task[None]) -> None:
    if not warming.cancelled() and (failure := warming.exception()) is not None:
        _log.warning("analysers not loaded", error=type(failure).__name__)


def opinion_on(analysis: Analysis) -> Opinion:
    """The vote that follows from an analysis: its worst finding's level, and what was found, worst first."""
    level = RiskLevel(analysis.level.value)
    if not analysis.complete and level is RiskLevel.LOW:
        level = RiskLevel.MEDIUM
    if not analysis.findings:
        return Opinion(level, "nothing found")
    found = sorted(analysis.findings, key=lambda finding: -finding.severity.rank)
    return Opinion(level, _in_words(found))


def _in_words(found: Sequence[Finding]) -> str:
    sentences: dict[str, None] = {}
    for finding in found:
        line = f" (line {finding.line})" if finding.line else ""
        sentences.setdefault(f"{finding.severity.value}: {finding.message}{line}")
    shown = list(sentences)[:_SHOWN_FINDINGS]
    more = len(sentences) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")
