"""Admitted executions that have not begun: their rows are what any executor with a free place takes from.

All writes of a database happen one after another, in whichever process (`server_kit.database.base`), so a
claim needs no lock of its own. A row goes away in the very transaction that begins or ends its execution.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.models import UNFINISHED
from executor_mcp.storage.schema import executions, waiting_executions
from server_kit.database.base import Database

WAITING_CHANGED: Final = "executions:waiting"
NOBODY: Final = "waiting"
"""The owner of an execution that waits."""

_UNFINISHED = tuple(status.value for status in UNFINISHED)
_row = waiting_executions.c


@dataclass(frozen=True)
class WaitingWork:
    """What it takes to begin an execution elsewhere. Nothing of it is believed before the token holds."""

    execution_id: str
    token: str = field(repr=False)
    action: bytes = field(repr=False)
    enqueued_at: datetime
    lapses_at: datetime


@dataclass(frozen=True, slots=True)
class Queue:
    """How much waits."""

    executions: int
    size: int


class WaitingStore:
    """Rows of `waiting_executions`. Methods with a connection join its transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def measure(self, connection: AsyncConnection) -> Queue:
        found = (await connection.execute(select(func.count(), func.coalesce(func.sum(_row.size), 0)))).one()
        return Queue(int(found[0]), int(found[1]))

    async def enqueue(self, connection: AsyncConnection, work: WaitingWork) -> None:
        await connection.execute(
            insert(waiting_executions).values(
                execution_id=work.execution_id,
                token=work.token,
                action=work.action,
                size=len(work.action),
                enqueued_at=work.enqueued_at,
                lapses_at=work.lapses_at,
            )
        )
        await self._database.changes.publish(connection, WAITING_CHANGED)

    async def anything_for(self, skipped: Collection[str]) -> bool:
        """Whether something waits that nobody has claimed."""

        async def read(connection: AsyncConnection) -> bool:
            statement = select(_row.execution_id).where(
                _row.claimed_by.is_(None), _row.execution_id.not_in(skipped)
            )
            return (await connection.execute(statement.limit(1))).first() is not None

        return await self._database.read(read)

    async def claim(
        self, owner: str, skipped: Collection[str], *, at_a_time: int | None
    ) -> WaitingWork | None:
        """Make the one that waits longest this process's to prepare; None when there is none to be had.

        `at_a_time` is how many may run in all executors together.
        """

        async def write(connection: AsyncConnection) -> WaitingWork | None:
            if at_a_time is not None and await self.under_way(connection) >= at_a_time:
                return None
            statement = (
                select(waiting_executions)
                .where(_row.claimed_by.is_(None), _row.execution_id.not_in(skipped))
                .order_by(_row.enqueued_at, _row.execution_id)
                .limit(1)
            )
            row = (await connection.execute(statement)).one_or_none()
            if row is None:
                return None
            await connection.execute(
                update(waiting_executions)
                .where(_row.execution_id == row.execution_id)
                .values(claimed_by=owner)
            )
            return WaitingWork(row.execution_id, row.token, row.action, row.enqueued_at, row.lapses_at)

        return await self._database.write(write)

    async def give_back(self, execution_id: str, owner: str) -> None:
        """Let others claim what this process could not begin."""

        async def write(connection: AsyncConnection) -> None:
            await connection.execute(
                update(waiting_executions)
                .where(_row.execution_id == execution_id, _row.claimed_by == owner)
                .values(claimed_by=None)
            )
            await self._database.changes.publish(connection, WAITING_CHANGED)

        await self._database.write(write)

    async def give_back_of(self, owners: Collection[str]) -> None:
        """Let others claim what dead processes had claimed: it has not begun."""

        async def write(connection: AsyncConnection) -> None:
            freed = await connection.execute(
                update(waiting_executions).where(_row.claimed_by.in_(owners)).values(claimed_by=None)
            )
            if freed.rowcount:
                await self._database.changes.publish(connection, WAITING_CHANGED)

        await self._database.write(write)

    async def leave_to_begin(self, connection: AsyncConnection, execution_id: str, owner: str) -> bool:
        """The end of waiting. False when it is not this process's any more, has ended, or is to be
        cancelled.
        """
        gone = await connection.execute(
            delete(waiting_executions).where(_row.execution_id == execution_id, _row.claimed_by == owner)
        )
        if gone.rowcount != 1:
            return False
        cancelled = await connection.scalar(
            select(executions.c.cancel_requested_at).where(executions.c.execution_id == execution_id)
        )
        return cancelled is None

    async def leave_to_end(self, connection: AsyncConnection, execution_id: str) -> bool:
        """False when it does not wait: it has begun, or ended."""
        gone = await connection.execute(delete(waiting_executions).where(_row.execution_id == execution_id))
        return gone.rowcount == 1

    async def not_to_begin(self, now: datetime) -> tuple[tuple[str, bool], ...]:
        """Ids of what has lapsed or is to be cancelled, and whether it is the latter."""

        async def read(connection: AsyncConnection) -> tuple[tuple[str, bool], ...]:
            cancelled = executions.c.cancel_requested_at.is_not(None)
            rows = await connection.execute(
                select(_row.execution_id, cancelled.label("cancelled"))
                .join_from(waiting_executions, executions)
                .where(cancelled | (_row.lapses_at <= now))
            )
            return tuple((row.execution_id, bool(row.cancelled)) for row in rows)

        return await self._database.read(read)

    async def ahead_of(self, execution_id: str) -> int | None:
        """How many came before it; None when it does not wait."""

        async def read(connection: AsyncConnection) -> int | None:
            place = await connection.scalar(select(_row.enqueued_at).where(_row.execution_id == execution_id))
            if place is None:
                return None
            earlier = (_row.enqueued_at < place) | (
                (_row.enqueued_at == place) & (_row.execution_id < execution_id)
            )
            return int(await connection.scalar(select(func.count()).where(earlier)) or 0)

        return await self._database.read(read)

    async def under_way(self, connection: AsyncConnection) -> int:
        """Executions of all executors that run or are being prepared."""
        unfinished = select(func.count()).where(executions.c.status.in_(_UNFINISHED))
        waiting = select(func.count()).where(_row.claimed_by.is_(None))
        return int(await connection.scalar(unfinished) or 0) - int(await connection.scalar(waiting) or 0)

    async def ended_since(self, connection: AsyncConnection, moment: datetime) -> int:
        """How many executions ended lately, which says how fast the queue moves."""
        statement = select(func.count()).where(executions.c.finished_at > moment)
        return int(await connection.scalar(statement) or 0)
