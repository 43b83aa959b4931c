"""The writer's transaction on SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import Executor
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from server_kit.database.sqlite_files import (
    FileIdentity,
    OpenConnection,
    explain,
    open_connection,
    waiting_helps,
)
from server_kit.database.writer import TransactionLost
from server_kit.errors import DatabaseUnavailable, ServerError

FIRST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.02


class SqliteWriteSession:
    """Implements `writer.WriteSession`; opens the file again after an error that may have come from the
    connection.
    """

    def __init__(self, path: Path, executor: Executor) -> None:
        self._path = path
        self._executor = executor
        self._open: OpenConnection | None = None
        self._identity: FileIdentity | None = None

    @property
    def _current(self) -> OpenConnection:
        if self._open is None:
            raise TransactionLost(
                DatabaseUnavailable(f"the database {self._path} was closed meanwhile"), again=True
            )
        return self._open

    async def begin(self, patience_seconds: float) -> AsyncConnection:
        until = asyncio.get_running_loop().time() + patience_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                current = await self._opened()
                current.driver.control("BEGIN IMMEDIATE")
            except (sqlite3.Error, OSError) as error:
                if waiting_helps(error) and asyncio.get_running_loop().time() < until:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                    continue
                if not waiting_helps(error):
                    await self.close()
                raise self._unavailable(error) from error
            return current.connection

    async def _opened(self) -> OpenConnection:
        """Return the connection, to the file that is under the path now: a deleted one would swallow what is
        written.
        """
        identity = FileIdentity.of(self._path)
        if self._open is not None and identity != self._identity:
            await self.close()
        if self._open is None:
            self._open = await open_connection(self._path, self._executor, read_only=False)
            self._identity = identity
        return self._open

    async def savepoint(self) -> None:
        self._control("SAVEPOINT operation")

    async def release(self) -> None:
        self._control("RELEASE operation")

    async def undo_to_savepoint(self, error: BaseException) -> None:
        if not self._current.driver.raw.in_transaction:
            raise TransactionLost(self._unavailable(error), again=True)
        self._control("ROLLBACK TO operation")
        self._control("RELEASE operation")

    async def commit(self) -> None:
        raw = self._current.driver.raw
        try:
            await self._current.driver.in_thread(lambda: raw.execute("COMMIT"))
        except sqlite3.Error as error:
            raise TransactionLost(self._unavailable(error), again=False) from error

    async def rollback(self) -> None:
        if self._open is None or not self._open.driver.raw.in_transaction:
            return
        try:
            self._open.driver.control("ROLLBACK")
        except sqlite3.Error:
            await self.close()

    def explain(self, error: BaseException) -> TransactionLost | None:
        explained = explain(error, self._path)
        if explained is not None:
            return TransactionLost(explained, again=False)
        if not self._current.driver.raw.in_transaction:
            return TransactionLost(self._unavailable(error), again=True)
        return None

    def _control(self, statement: str) -> None:
        try:
            self._current.driver.control(statement)
        except sqlite3.Error as error:
            raise TransactionLost(self._unavailable(error), again=False) from error

    def _unavailable(self, error: BaseException) -> ServerError:
        explained = explain(error, self._path)
        if explained is not None:
            return explained
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return DatabaseUnavailable(f"the database {self._path} did not take the operation: {reason}")

    async def close(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            await opened.close()
