"""What rate and fatigue limits count: requests and approvals of the last hour, in the database."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Protocol

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.models import MAX_TIMEOUT_SECONDS, Verdict
from hitl_mcp.storage.schema.approvals import decisions, requests
from server_kit.database.base import Database

WINDOW: Final = timedelta(hours=1)


class Counter(Protocol):
    """Counts for limits. Whoever asks takes an error for a limit that is reached."""

    async def requests(self, agent: str, rule: str, *, since: datetime, most: int) -> int:
        """How many requests this agent made under this rule since then; counted up to `most`."""
        ...

    async def busiest_approver(self, *, since: datetime) -> int:
        """The most approvals that one person has given since then."""
        ...


class NothingCounted:
    """Implements `Counter` where there is no database, as for `hitl policy test`: no limit is reached."""

    async def requests(self, agent: str, rule: str, *, since: datetime, most: int) -> int:  # noqa: ARG002 - the port's signature
        return 0

    async def busiest_approver(self, *, since: datetime) -> int:  # noqa: ARG002 - the port's signature
        return 0


class SqlCounter:
    """Implements `Counter` over the tables of requests and decisions.

    Two requests at the same moment do not see each other: a limit may be passed by as many as are asked at
    once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def requests(self, agent: str, rule: str, *, since: datetime, most: int) -> int:
        found = (
            select(requests.c.request_id)
            .where(requests.c.agent == agent, requests.c.created_at >= since, requests.c.policy == rule)
            .limit(most)
            .subquery()
        )

        async def operation(connection: AsyncConnection) -> int:
            return int((await connection.execute(select(func.count()).select_from(found))).scalar_one())

        return await self._database.read(operation)

    async def busiest_approver(self, *, since: datetime) -> int:
        # What was decided lately was asked at most a request's longest life before.
        asked_since = since - timedelta(seconds=MAX_TIMEOUT_SECONDS)
        per_person = (
            select(func.count().label("approvals"))
            .select_from(decisions.join(requests, requests.c.request_id == decisions.c.request_id))
            .where(
                requests.c.created_at >= asked_since,
                decisions.c.decided_at >= since,
                decisions.c.verdict == Verdict.APPROVE.value,
            )
            .group_by(decisions.c.person_key)
            .subquery()
        )

        async def operation(connection: AsyncConnection) -> int:
            busiest = await connection.execute(select(func.max(per_person.c.approvals)))
            return int(busiest.scalar_one_or_none() or 0)

        return await self._database.read(operation)
