"""The database seam on one SQLite file: one writer with group commit, read connections beside it."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from server_kit.database.base import Operation, T
from server_kit.database.sqlite_changes import SqliteChangeFeed
from server_kit.database.sqlite_files import (
    FileIdentity,
    OpenConnection,
    create_or_check,
    explain,
    open_connection,
    waiting_helps,
)
from server_kit.database.sqlite_session import SqliteWriteSession
from server_kit.database.writer import GroupWriter, WriterStatistics
from server_kit.errors import DatabaseUnavailable, HomeNotWritable

READ_CONNECTIONS = 8
READ_PAUSE_SECONDS = 0.005


class SqliteDatabase:
    """Implements `base.Database`. Made by `open`, within the event loop that uses it."""

    dialect: Literal["sqlite"] = "sqlite"

    def __init__(self, path: Path, patience_seconds: float, operation_seconds: float) -> None:
        self.path = path
        self.changes = SqliteChangeFeed(path)
        self._patience_seconds = patience_seconds
        self._executor = ThreadPoolExecutor(READ_CONNECTIONS + 1, thread_name_prefix="sqlite")
        self._writer = GroupWriter(
            SqliteWriteSession(path, self._executor),
            take_published=self.changes.take_published,
            committed=self.changes.committed,
            patience_seconds=patience_seconds,
            operation_seconds=operation_seconds,
        )
        self._readers = asyncio.Semaphore(READ_CONNECTIONS)
        self._idle: list[tuple[FileIdentity, OpenConnection]] = []
        self._closed = False

    @classmethod
    async def open(
        cls, path: Path, patience_seconds: float = 5.0, operation_seconds: float = 30.0
    ) -> SqliteDatabase:
        """Open the file, making it when it is missing. Raises DatabaseCorrupt, HomeNotWritable,
        DatabaseUnavailable.
        """
        await asyncio.to_thread(create_or_check, path, patience_seconds=patience_seconds)
        return cls(path, patience_seconds, operation_seconds)

    @property
    def statistics(self) -> WriterStatistics:
        return self._writer.statistics

    async def write(self, operation: Operation[T]) -> T:
        return await self._writer.write(operation)

    async def read(self, operation: Operation[T]) -> T:
        until = asyncio.get_running_loop().time() + self._patience_seconds
        async with self._readers:
            while True:
                try:
                    return await self._read_once(operation)
                except Exception as error:
                    if waiting_helps(error) and asyncio.get_running_loop().time() < until:
                        await asyncio.sleep(READ_PAUSE_SECONDS)
                        continue
                    explained = explain(error, self.path)
                    if explained is None or isinstance(explained, HomeNotWritable):
                        raise
                    raise explained from error

    async def _read_once(self, operation: Operation[T]) -> T:
        identity, opened = await self._take_reader()
        keep = False
        try:
            opened.driver.control("BEGIN")
            try:
                result = await operation(opened.connection)
            finally:
                if opened.driver.raw.in_transaction:
                    opened.driver.control("ROLLBACK")
            keep = not self._closed
        except Exception as error:
            keep = explain(error, self.path) is None and not self._closed
            raise
        else:
            return result
        finally:
            if keep:
                self._idle.append((identity, opened))
            else:
                await opened.close()

    async def _take_reader(self) -> tuple[FileIdentity, OpenConnection]:
        if self._closed:
            raise DatabaseUnavailable("the database is closed: this server is shutting down")
        try:
            identity = FileIdentity.of(self.path)
        except OSError as error:
            raise DatabaseUnavailable(f"the database {self.path} cannot be read: {error.strerror}") from error
        while self._idle:
            opened_identity, opened = self._idle.pop()
            if opened_identity == identity:
                return identity, opened
            await opened.close()
        try:
            return identity, await open_connection(self.path, self._executor, read_only=True)
        except sqlite3.Error as error:
            raise explain(error, self.path) or DatabaseUnavailable(
                f"the database {self.path}: {error}"
            ) from error

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        await self.changes.close()
        for _, opened in self._idle:
            await opened.close()
        self._idle.clear()
        self._executor.shutdown(wait=False)
