"""Deadlines in the database: rows found by the time at which they are due."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.deadlines import Deadline
from hitl_mcp.storage.schema import deadlines
from server_kit.database.base import Dialect
from server_kit.database.row_insert import RowInsert

_TAKE = delete(deadlines).where(
    deadlines.c.request_id == bindparam("id"),
    deadlines.c.kind == bindparam("name"),
    deadlines.c.due_at <= bindparam("now"),
)
_TAKE_ALL = (
    delete(deadlines)
    .where(
        deadlines.c.request_id.in_(bindparam("ids", expanding=True)),
        deadlines.c.kind == bindparam("name"),
        deadlines.c.due_at <= bindparam("now"),
    )
    .returning(deadlines.c.request_id)
)
_DROP = delete(deadlines).where(deadlines.c.request_id == bindparam("id"))
_DUE = (
    select(deadlines)
    .where(deadlines.c.due_at <= bindparam("now"))
    .order_by(deadlines.c.due_at)
    .limit(bindparam("limit"))
)
_NEXT_DUE = select(func.min(deadlines.c.due_at))


class SqlDeadlineStore:
    """Implements `approvals.ports.DeadlineStore` on both databases."""

    def __init__(self, dialect: Dialect) -> None:
        insert = (sqlite_insert if dialect == "sqlite" else postgresql_insert)(deadlines)
        self._put_deadlines = insert.on_conflict_do_update(
            index_elements=["request_id", "kind"],
            set_={"due_at": insert.excluded.due_at, "attempts": insert.excluded.attempts},
        )
        self._put_deadline = RowInsert(self._put_deadlines)

    async def add_deadlines(self, connection: AsyncConnection, planned: Sequence[Deadline]) -> None:
        if not planned:
            return
        found = [
            {
                "request_id": each.request_id,
                "kind": each.name,
                "due_at": each.due_at,
                "attempts": each.attempts,
            }
            for each in planned
        ]
        # A single row, as most requests have it, saves what a statement for many costs.
        if len(found) == 1:
            await self._put_deadline.execute(connection, found[0])
        else:
            await connection.execute(self._put_deadlines, found)

    async def take_deadline(self, connection: AsyncConnection, deadline: Deadline, now: datetime) -> bool:
        which = {"id": deadline.request_id, "name": deadline.name, "now": now}
        return (await connection.execute(_TAKE, which)).rowcount == 1

    async def take_all(
        self, connection: AsyncConnection, name: str, request_ids: Collection[str], now: datetime
    ) -> Collection[str]:
        which = {"ids": list(request_ids), "name": name, "now": now}
        return list((await connection.execute(_TAKE_ALL, which)).scalars())

    async def drop_deadlines(self, connection: AsyncConnection, request_id: str) -> None:
        await connection.execute(_DROP, {"id": request_id})

    async def due(self, connection: AsyncConnection, now: datetime, limit: int) -> Sequence[Deadline]:
        found = (await connection.execute(_DUE, {"now": now, "limit": limit})).mappings()
        return [Deadline(row["request_id"], row["kind"], row["due_at"], row["attempts"]) for row in found]

    async def next_due(self, connection: AsyncConnection) -> datetime | None:
        return (await connection.execute(_NEXT_DUE)).scalar_one_or_none()
