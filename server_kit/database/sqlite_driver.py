"""A connection to SQLite that SQLAlchemy's asyncio dialect drives without a thread hop per statement.

A statement that touches a few rows takes some ten microseconds, far less than handing it to a thread and
back; and under a busy event loop every hand-over costs a turn of the interpreter lock. So statements run
where they are asked for, as long as they are short: a query that outgrows its budget is interrupted and run
again in a thread, and whatever waits for the disk (commit, opening, closing) goes to a thread at once.
Nothing here waits for a lock: SQLITE_BUSY is answered immediately, and who may wait does so asynchronously.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

R = TypeVar("R")

# About a millisecond of the virtual machine's work; the interpreter is asked only when it is used up.
BUDGET_INSTRUCTIONS = 50_000


class SqliteCursor:
    """What SQLAlchemy's adapter expects of an asyncio cursor; rows are read together with the statement."""

    def __init__(self, owner: SqliteConnection) -> None:
        self._owner = owner
        self._cursor = owner.raw.cursor()
        self._rows: list[Any] = []
        self.arraysize = 1

    async def __aenter__(self) -> SqliteCursor:
        return self

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid

    async def execute(self, operation: str, parameters: Sequence[Any] = ()) -> SqliteCursor:
        def run() -> list[Any]:
            self._cursor.execute(operation, parameters)
            return self._cursor.fetchall()

        self._rows = await self._owner.run(run, interruptible=self._owner.may_interrupt(operation))
        return self

    async def executemany(self, operation: str, parameters: Iterable[Sequence[Any]]) -> SqliteCursor:
        self._cursor.executemany(operation, parameters)
        return self

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        self._cursor.close()


class SqliteConnection:
    """One SQLite connection, used by one task at a time. Transactions are begun and ended by its owner, with
    `control`.
    """

    def __init__(self, raw: sqlite3.Connection, executor: Executor, *, read_only: bool) -> None:
        self.raw = raw
        self._executor = executor
        self._read_only = read_only
        self._interrupting = False
        # SQLAlchemy's adapter looks here whether the connection is open.
        self._connection: sqlite3.Connection | None = raw
        raw.set_progress_handler(self._budget_spent, BUDGET_INSTRUCTIONS)

    def _budget_spent(self) -> int:
        return int(self._interrupting)

    def may_interrupt(self, statement: str) -> bool:
        """An interrupted statement that writes loses its whole transaction: only a query may be."""
        return self._read_only or statement.lstrip()[:6].upper() == "SELECT"

    async def run(self, work: Callable[[], R], *, interruptible: bool) -> R:
        """Run `work` here, and once more in a thread when it was interrupted for taking long."""
        if not interruptible:
            return work()
        self._interrupting = True
        try:
            return work()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
        finally:
            self._interrupting = False
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

    def cursor(self) -> SqliteCursor:
        return SqliteCursor(self)

    async def commit(self) -> None:
        """Do nothing: SQLAlchemy commits outside of transactions too, and no operation ends its own."""

    async def rollback(self) -> None:
        """Do nothing, as `commit`."""

    async def create_function(self, *arguments: Any, **options: Any) -> None:
        self.raw.create_function(*arguments, **options)

    async def close(self) -> None:
        self._connection = None
        await self.in_thread(self.raw.close)

    def stop(self) -> None:
        self._connection = None
        self.raw.close()
