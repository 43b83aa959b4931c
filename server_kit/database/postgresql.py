"""The database seam on PostgreSQL: one writer per process, a pool of connections for reading."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from sqlalchemy import URL, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from server_kit.database.base import Operation, T
from server_kit.database.postgresql_changes import PostgresqlChangeFeed
from server_kit.database.postgresql_errors import Meaning, meaning, sqlstate, unavailable
from server_kit.database.postgresql_session import DATABASE_ERRORS, PostgresqlWriteSession
from server_kit.database.writer import GroupWriter, WriterStatistics
from server_kit.errors import DatabaseUnavailable

READ_CONNECTIONS = 8
CONNECT_SECONDS = 5.0
MAX_READS = 3
WRITE_WHILE_READING = "25006"

# A commit is durable whatever the server's defaults are, and no process that hangs holds the write lock for
# ever.
_SESSION = {"application_name": "hitl", "synchronous_commit": "on"}
_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresqlDatabase:
    """Implements `base.Database`. Made by `open`, within the event loop that uses it."""

    dialect: Literal["postgresql"] = "postgresql"

    def __init__(self, url: URL, patience_seconds: float, operation_seconds: float) -> None:
        self.place = url.render_as_string(hide_password=True)
        limits = {
            "lock_timeout": str(int(patience_seconds * 1000)),
            "statement_timeout": str(int(operation_seconds * 1000)),
            "idle_in_transaction_session_timeout": str(int(operation_seconds * 1000)),
        }
        options: dict[str, Any] = {
            "isolation_level": "AUTOCOMMIT",
            "pool_reset_on_return": None,
            "hide_parameters": True,
            "connect_args": {"timeout": CONNECT_SECONDS, "server_settings": _SESSION | limits},
        }
        self._pool = create_async_engine(url, pool_size=READ_CONNECTIONS, max_overflow=0, **options)
        self._single = create_async_engine(url, poolclass=NullPool, **options)
        self.changes = PostgresqlChangeFeed(self._single)
        self._writer = GroupWriter(
            PostgresqlWriteSession(self._single, self.place),
            take_published=self.changes.take_published,
            committed=self.changes.committed,
            patience_seconds=patience_seconds,
            operation_seconds=operation_seconds,
        )
        self._closed = False

    @classmethod
    async def open(
        cls, url: URL, patience_seconds: float = 5.0, operation_seconds: float = 30.0
    ) -> PostgresqlDatabase:
        """Connect once to see that the server answers and lets us in. Raises DatabaseUnavailable."""
        database = cls(url, patience_seconds, operation_seconds)
        try:
            async with asyncio.timeout(CONNECT_SECONDS), database._single.connect():
                return database
        except DATABASE_ERRORS as error:
            await database.close()
            raise unavailable(error, database.place) from error

    @property
    def statistics(self) -> WriterStatistics:
        return self._writer.statistics

    async def write(self, operation: Operation[T]) -> T:
        return await self._writer.write(operation)

    async def read(self, operation: Operation[T]) -> T:
        for _ in range(MAX_READS - 1):
            try:
                return await self._read_once(operation)
            except DATABASE_ERRORS as error:
                if meaning(error) not in {Meaning.CONFLICT, Meaning.CONNECTION_LOST}:
                    raise self._explained(error) from error
        try:
            return await self._read_once(operation)
        except DATABASE_ERRORS as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> Exception:
        own = meaning(error) is Meaning.OPERATION or sqlstate(error) == WRITE_WHILE_READING
        return error if own else unavailable(error, self.place)

    async def _read_once(self, operation: Operation[T]) -> T:
        if self._closed:
            raise DatabaseUnavailable("the database is closed: this server is shutting down")
        async with self._pool.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            try:
                await driver.execute(_BEGIN_READING)
                result = await operation(connection)
                await driver.execute("ROLLBACK")
            except Exception as error:
                if meaning(error) is Meaning.OPERATION and not driver.is_closed():
                    await driver.execute("ROLLBACK")
                else:
                    await connection.invalidate()
                raise
            except BaseException:
                # Cancelled in the middle of a statement: the connection's state is not known.
                driver.terminate()
                await connection.invalidate()
                raise
            return result

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        await self.changes.close()
        await self._pool.dispose()
        await self._single.dispose()
