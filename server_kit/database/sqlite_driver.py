"""A connection to SQLite whose statements run where they are asked for, with no thread or greenlet for each.

A statement that touches a few rows takes some ten microseconds, far less than handing it to a thread and
back; and under a busy event loop every hand-over costs a turn of the interpreter lock. So statements run
where they are asked for, as long as they are short: a query that outgrows its budget is interrupted and run
again in a thread, and whatever waits for the disk (commit, opening, closing) goes to a thread at once.
Nothing here waits for a lock: SQLITE_BUSY is answered immediately, and who may wait does so asynchronously.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from sqlalchemy import CursorResult, Executable, NullPool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

R = TypeVar("R")

# About a millisecond of the virtual machine's work; the interpreter is asked only when it is used up.
BUDGET_INSTRUCTIONS = 50_000


class SqliteCursor:
    """What SQLAlchemy expects of a cursor; rows are read together with the statement."""

    def __init__(self, owner: SqliteConnection) -> None:
        self._owner = owner
        self._cursor = owner.raw.cursor()
        self._rows: deque[Any] = deque()
        self.arraysize = 1

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid

    def execute(self, operation: str, parameters: Sequence[Any] = ()) -> None:
        self._owner.limit(operation)
        try:
            self._cursor.execute(operation, parameters)
            self._rows = deque(self._cursor.fetchall())
        finally:
            self._owner.lift_limit()

    def executemany(self, operation: str, parameters: Iterable[Sequence[Any]]) -> None:
        self._cursor.executemany(operation, parameters)

    def fetchone(self) -> Any:
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        return [self._rows.popleft() for _ in range(min(size or self.arraysize, len(self._rows)))]

    def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, deque()
        return list(rows)

    def close(self) -> None:
        self._cursor.close()


class SqliteConnection:
    """One SQLite connection, used by one task at a time. Transactions are begun and ended by its owner, with
    `control`.
    """

    def __init__(self, raw: sqlite3.Connection, executor: Executor, *, read_only: bool) -> None:
        self.raw = raw
        self._executor = executor
        self._read_only = read_only
        self._limiting = False
        self._limited = False
        raw.set_progress_handler(self._budget_spent, BUDGET_INSTRUCTIONS)

    def _budget_spent(self) -> int:
        return int(self._limited)

    def limit(self, statement: str) -> None:
        """From now on interrupt `statement` when its budget is spent, where it may be.

        One that writes would lose its whole transaction: only a query may be interrupted.
        """
        self._limited = self._limiting and (self._read_only or statement.lstrip()[:6].upper() == "SELECT")

    def lift_limit(self) -> None:
        self._limited = False

    async def run(self, work: Callable[[], R]) -> R:
        """Run `work` here, and once more in a thread when its query was interrupted for taking long."""
        self._limiting = True
        try:
            return work()
        except DBAPIError as error:
            if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_INTERRUPT:
                raise
        finally:
            self._limiting = False
        return await self.in_thread(work, interruptible=True)

    def control(self, statement: str) -> None:
        """Run a statement that neither waits nor returns rows, such as BEGIN or SAVEPOINT."""
        self.raw.execute(statement)

    async def in_thread(self, work: Callable[[], R], *, interruptible: bool = False) -> R:
        """Run `work` in a thread and wait for its end even when cancelled: a connection is never used by two
        at once.
        """
        waiting = asyncio.wrap_future(self._executor.submit(work))
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if interruptible:
                self.raw.interrupt()
            await asyncio.wait([waiting])
            if not waiting.cancelled():
                waiting.exception()
            raise

    @property
    def driver_connection(self) -> sqlite3.Connection:
        """What SQLAlchemy shows to whoever asks for the connection underneath."""
        return self.raw

    def cursor(self) -> SqliteCursor:
        return SqliteCursor(self)

    def commit(self) -> None:
        """Do nothing: SQLAlchemy commits outside of transactions too, and no operation ends its own."""

    def rollback(self) -> None:
        """Do nothing, as `commit`."""

    def create_function(self, *arguments: Any, **options: Any) -> None:
        self.raw.create_function(*arguments, **options)

    def close(self) -> None:
        """Do nothing: its owner closes the file, in a thread."""

    terminate = close


class InlineConnection(AsyncConnection):
    """The connection as operations see it.

    SQLAlchemy starts a greenlet for each statement, for drivers that wait; this one's statements do not.
    """

    def __init__(self, driver: SqliteConnection) -> None:
        engine = create_async_engine(
            "sqlite+aiosqlite://",
            creator=lambda: driver,
            poolclass=NullPool,
            pool_reset_on_return=None,
            hide_parameters=True,
        )
        super().__init__(engine)
        self._driver = driver

    async def execute(  # pyright: ignore[reportIncompatibleMethodOverride] - overloads only type the rows
        self, statement: Executable, parameters: Any = None, *, execution_options: Any = None
    ) -> CursorResult[Any]:
        connection = self._proxied

        def work() -> CursorResult[Any]:
            return connection.execute(statement, parameters, execution_options=execution_options)

        return await self._driver.run(work)

    async def scalar(  # pyright: ignore[reportIncompatibleMethodOverride] - as `execute`
        self, statement: Executable, parameters: Any = None, *, execution_options: Any = None
    ) -> Any:
        return (await self.execute(statement, parameters, execution_options=execution_options)).scalar()

    def change(self, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
        """Run an INSERT, UPDATE or DELETE as it is; the cursor says of how many rows. Raises DBAPIError."""
        try:
            return self._driver.raw.execute(statement, values)
        except sqlite3.Error as error:
            raise self._as_sqlalchemy_says(error, statement) from error

    async def query(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """The rows of a SELECT as they are in the database, within the budget. Raises DBAPIError."""
        driver = self._driver

        def work() -> list[Any]:
            driver.limit(statement)
            try:
                return driver.raw.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise self._as_sqlalchemy_says(error, statement) from error
            finally:
                driver.lift_limit()

        return await driver.run(work)

    def _as_sqlalchemy_says(self, error: sqlite3.Error, statement: str) -> Exception:
        return DBAPIError.instance(
            statement, None, error, sqlite3.Error, hide_parameters=True, dialect=self.dialect
        )

    async def exec_driver_sql(
        self, statement: str, parameters: Any = None, execution_options: Any = None
    ) -> CursorResult[Any]:
        connection = self._proxied
        return await self._driver.run(
            lambda: connection.exec_driver_sql(statement, parameters, execution_options)
        )

    async def close(self) -> None:
        await super().close()
        await self._driver.in_thread(self._driver.raw.close)
