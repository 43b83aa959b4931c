"""Builds the assessors that are configured, and the consensus over them. Called by the composition root."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from code_safety.analysis import analyse, warm_up
from hitl_mcp.risk.assessor import Assessor
from hitl_mcp.risk.consensus import Consensus
from hitl_mcp.risk.history import HistoryVote
from hitl_mcp.risk.past_operations import SqlPastOperations
from hitl_mcp.risk.patterns import PatternsVote
from hitl_mcp.risk.settings import RiskSettings
from hitl_mcp.risk.static_analysis import StaticAnalysisVote
from server_kit.clock import Clock
from server_kit.database.base import Database


@dataclass(frozen=True, slots=True)
class Assessors:
    """Who assesses risk. `warmed` loads what takes a second beside a server's start; a command skips it."""

    consensus: Consensus
    warmed: Callable[[], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def build_consensus(
    settings: RiskSettings, *, database: Database, clock: Clock
) -> AsyncGenerator[Assessors]:
    """The consensus of patterns, static analysis, history, the agent's claim and a model where one is set."""
    static_analysis = StaticAnalysisVote(analyse, warm_up)
    assessors: list[Assessor] = [
        PatternsVote(),
        static_analysis,
        HistoryVote(SqlPastOperations(database), clock),
    ]
    async with AsyncExitStack() as closing:
        if settings.model is not None:
            # httpx2 takes long to import, which a start without a model should not pay.
            from hitl_mcp.risk.model import model_vote

            assessors.append(await closing.enter_async_context(model_vote(settings.model)))
        consensus = Consensus(assessors, timeout_seconds=settings.timeout_seconds)
        yield Assessors(consensus, static_analysis.warmed)
