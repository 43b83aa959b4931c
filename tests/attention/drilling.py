"""Drills that are filed at once, whatever the schedule says."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.canaries import Drill
from hitl_mcp.approvals.models import ApprovalRequest, RequestRecord
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.attention.canary_store import SqlCanaries
from hitl_mcp.attention.drills import EXERCISES
from server_kit.database.base import Database

AGENT = "release-helper"


@dataclass
class AtOnce:
    """Implements `approvals.canaries.CanaryDesk`: it is always our turn."""

    store: SqlCanaries
    drill: Drill

    async def may_file(self, connection: AsyncConnection) -> bool:
        return True

    async def filed(self, connection: AsyncConnection, request: ApprovalRequest) -> None:
        await self.store.keep(
            connection, request.request_id, self.drill, ["alice", "bob", "carol"], request.created_at
        )


async def filed(
    service: ApprovalService, database: Database, drill: str = "customers-posted", *, agent: str = AGENT
) -> RequestRecord:
    """A pending drill."""
    exercise = next(each for each in EXERCISES if each.drill.name == drill)
    drafted = await service.draft_canary(agent, exercise.submission(Random()))
    assert drafted is not None, "the rules ask nobody about this drill"
    assert await service.file_canary(drafted, AtOnce(SqlCanaries(database), exercise.drill))
    return await service.get(drafted.request_id)
