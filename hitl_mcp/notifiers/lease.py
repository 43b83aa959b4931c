"""A lease in the database: at most one process at a time holds it, and a dead holder loses it by itself."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.storage.schema import leases
from server_kit.clock import Clock
from server_kit.database.base import Database
from server_kit.identifiers import new_identifier

DEFAULT_TERM = timedelta(seconds=4)


class Lease:
    """One process's claim on the lease called `name`. A holder renews well within `term`."""

    def __init__(
        self, *, database: Database, clock: Clock, name: str = "dispatcher", term: timedelta = DEFAULT_TERM
    ) -> None:
        self._database = database
        self._clock = clock
        self._name = name
        self.holder = new_identifier("lease")
        self.term = term
        self._ours = False

    async def acquire(self) -> bool:
        """Take the lease where it is free or run out, renew it where it is ours; whether it is ours now."""
        if self._ours:
            self._ours = await self._database.write(self._renew)
        # Read first: a process that only waits for its turn must not write every second.
        if not self._ours and not await self._database.read(self._held_by_another):
            self._ours = await self._database.write(self._take)
        return self._ours

    async def release(self) -> None:
        """Give the lease back at once, so that another process need not wait for its end."""
        self._ours = False

        async def operation(connection: AsyncConnection) -> None:
            await connection.execute(
                delete(leases).where(leases.c.name == self._name, leases.c.holder == self.holder)
            )

        await self._database.write(operation)

    async def _held_by_another(self, connection: AsyncConnection) -> bool:
        row = (await connection.execute(select(leases).where(leases.c.name == self._name))).one_or_none()
        return row is not None and row.holder != self.holder and row.expires_at > await self._now(connection)

    async def _renew(self, connection: AsyncConnection) -> bool:
        # Nobody took it since, though its term may have passed. One statement: what an idle leader does.
        renewed = await connection.execute(
            update(leases)
            .where(leases.c.name == self._name, leases.c.holder == self.holder)
            .values(expires_at=await self._now(connection) + self.term)
        )
        return renewed.rowcount == 1

    async def _take(self, connection: AsyncConnection) -> bool:
        if await self._held_by_another(connection):
            return False
        values = {"holder": self.holder, "expires_at": await self._now(connection) + self.term}
        taken = await connection.execute(update(leases).where(leases.c.name == self._name).values(**values))
        if taken.rowcount == 0:
            await connection.execute(insert(leases).values(name=self._name, **values))
        return True

    async def _now(self, connection: AsyncConnection) -> datetime:
        # Replicas on several hosts agree on PostgreSQL's clock; on SQLite all processes share one host's.
        if self._database.dialect == "postgresql":
            return (await connection.execute(select(func.clock_timestamp()))).scalar_one()
        return self._clock.now()
