"""Canaries in the database: which drill each is, whom it was put before, and when the next is due."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.canaries import Drill
from hitl_mcp.approvals.models import RequestKind
from hitl_mcp.attention.drills import drill_named
from hitl_mcp.storage.schema import canaries, canary_schedule, decisions, requests
from server_kit.database.base import Database

_NEXT: Final = "next"
_DRILL: Final = select(canaries.c.drill).where(canaries.c.request_id == bindparam("id"))
_DUE: Final = select(canary_schedule.c.due_at).where(canary_schedule.c.name == _NEXT)
_ASKED: Final = select(canaries.c.asked).where(canaries.c.filed_at > bindparam("since"))
_AT_WORK: Final = (
    select(decisions.c.decision_id)
    .join(requests, requests.c.request_id == decisions.c.request_id)
    .where(decisions.c.decided_at >= bindparam("since"), requests.c.kind != RequestKind.CANARY.value)
    .limit(1)
)


class SqlCanaries:
    """Implements `approvals.canaries.CanaryBook`, and keeps the schedule."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def drill_of(self, connection: AsyncConnection, request_id: str) -> Drill | None:
        name = (await connection.execute(_DRILL, {"id": request_id})).scalar_one_or_none()
        # Only the name is stored, so that nobody who writes the database can put words before people.
        return None if name is None else drill_named(name)

    async def keep(
        self,
        connection: AsyncConnection,
        request_id: str,
        drill: Drill,
        asked: Collection[str],
        filed_at: datetime,
    ) -> None:
        await connection.execute(
            insert(canaries),
            {"request_id": request_id, "drill": drill.name, "asked": sorted(asked), "filed_at": filed_at},
        )

    async def next_due(self) -> datetime | None:
        async def operation(connection: AsyncConnection) -> datetime | None:
            return (await connection.execute(_DUE)).scalar_one_or_none()

        return await self._database.read(operation)

    async def begin(self, due_at: datetime) -> None:
        """Plan the first one, unless one is planned."""
        statement = (sqlite_insert if self._database.dialect == "sqlite" else postgresql_insert)(
            canary_schedule
        ).on_conflict_do_nothing(index_elements=["name"])

        async def operation(connection: AsyncConnection) -> None:
            await connection.execute(statement, {"name": _NEXT, "due_at": due_at})

        await self._database.write(operation)

    async def move(self, connection: AsyncConnection, due_at: datetime, later: datetime) -> bool:
        """Plan the next one for `later` instead of `due_at`; False when somebody else moved it before."""
        moved = await connection.execute(
            update(canary_schedule)
            .where(canary_schedule.c.name == _NEXT, canary_schedule.c.due_at == due_at)
            .values(due_at=later)
        )
        return moved.rowcount == 1

    async def postpone(self, due_at: datetime, later: datetime) -> None:
        async def operation(connection: AsyncConnection) -> None:
            await self.move(connection, due_at, later)

        await self._database.write(operation)

    async def asked_since(self, since: datetime) -> Sequence[Collection[str]]:
        """Whom each canary filed after `since` was put before."""

        async def operation(connection: AsyncConnection) -> Sequence[Collection[str]]:
            return list((await connection.execute(_ASKED, {"since": since})).scalars())

        return await self._database.read(operation)

    async def people_at_work(self, since: datetime) -> bool:
        """Whether anybody decided anything since then."""

        async def operation(connection: AsyncConnection) -> bool:
            return (await connection.execute(_AT_WORK, {"since": since})).first() is not None

        return await self._database.read(operation)
