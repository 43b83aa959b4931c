"""The writer's transaction on PostgreSQL.

The first statement takes one advisory lock for the whole database (per schema), so that writers in every
process follow each other as they do on SQLite: an operation may check and then act, no two of them deadlock,
and under READ COMMITTED each statement sees what the writer before has left.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from server_kit.database.postgresql_errors import CONNECTION_ERRORS, Meaning, meaning, unavailable
from server_kit.database.writer import OperationTimedOut, TransactionLost
from server_kit.errors import DatabaseUnavailable

_BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
    "SELECT pg_advisory_xact_lock(hashtextextended('server_kit write ' || current_schema(), 0))"
)
DATABASE_ERRORS = (SQLAlchemyError, asyncpg.PostgresError, *CONNECTION_ERRORS, OSError)


class PostgresqlWriteSession:
    """Implements `writer.WriteSession` on a connection of its own, opened anew after it was lost."""

    def __init__(self, engine: AsyncEngine, place: str) -> None:
        self._engine = engine
        self._place = place
        self._connection: AsyncConnection | None = None
        self._driver: Any = None

    async def begin(self, patience_seconds: float) -> AsyncConnection:
        fresh = self._connection is None
        try:
            async with asyncio.timeout(patience_seconds + 1):
                return await self._begin()
        except DATABASE_ERRORS as error:
            await self._drop()
            # An idle connection that the server has closed since is no reason to refuse: nothing was sent on
            # it yet.
            if fresh or meaning(error) is not Meaning.CONNECTION_LOST:
                raise unavailable(error, self._place) from error
        return await self.begin(patience_seconds)

    async def _begin(self) -> AsyncConnection:
        if self._connection is None:
            self._connection = await self._engine.connect()
            self._driver = (await self._connection.get_raw_connection()).driver_connection
        await self._driver.execute(_BEGIN)
        return self._connection

    async def savepoint(self) -> None:
        await self._control("SAVEPOINT operation")

    async def release(self) -> None:
        await self._control("RELEASE SAVEPOINT operation")

    async def undo_to_savepoint(self, error: BaseException) -> None:
        del error  # the connection itself says whether the transaction is gone
        await self._control("ROLLBACK TO SAVEPOINT operation; RELEASE SAVEPOINT operation")

    async def commit(self) -> None:
        try:
            status = await self._driver.execute("COMMIT")
        except DATABASE_ERRORS as error:
            if meaning(error) is Meaning.CONFLICT:
                raise TransactionLost(error, again=True) from error
            await self._drop()
            message = f"the database {self._place} was lost during a commit, which may have happened or not"
            raise DatabaseUnavailable(f"{message}; look before trying again") from error
        if status != "COMMIT":
            # The server answers so when a statement had failed and the operation went on as if it had not.
            message = "an operation ignored a failed statement outside of begin_nested() and was undone"
            raise TransactionLost(RuntimeError(message), again=False)

    async def rollback(self) -> None:
        if self._driver is None:
            return
        try:
            await self._driver.execute("ROLLBACK")
        except DATABASE_ERRORS:
            await self._drop()

    def explain(self, error: BaseException) -> TransactionLost | None:
        what = meaning(error)
        if isinstance(error, OperationTimedOut):
            return TransactionLost(error, again=False)
        if what is Meaning.OPERATION and not self._driver.is_closed():
            return None
        cause = unavailable(error, self._place)
        return TransactionLost(cause, again=what is not Meaning.UNAVAILABLE)

    async def _control(self, statement: str) -> None:
        try:
            await self._driver.execute(statement)
        except DATABASE_ERRORS as error:
            raise TransactionLost(unavailable(error, self._place), again=True) from error

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.terminate()
        if connection is not None:
            await connection.invalidate()
            await connection.close()

    async def close(self) -> None:
        connection, self._connection, self._driver = self._connection, None, None
        if connection is not None:
            await connection.close()
