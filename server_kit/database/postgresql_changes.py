"""News of changes between processes on one PostgreSQL database: NOTIFY inside the transaction, LISTEN on a
connection apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from server_kit.database.postgresql_session import DATABASE_ERRORS
from server_kit.database.watching import LocalWatch, Watchers, checked_key

CHANNEL = "server_kit_changes"
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0
HEARTBEAT_SECONDS = 15.0
HEARTBEAT_PATIENCE_SECONDS = 5.0


class PostgresqlChangeFeed:
    """Implements `base.ChangeFeed`. After every (re)connection everybody is woken, so a gap loses nothing."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._watchers = Watchers()
        self._published: list[str] = []
        self._listener: asyncio.Task[None] | None = None
        self.connections = 0

    async def publish(self, connection: AsyncConnection, key: str) -> None:
        await connection.execute(select(func.pg_notify(CHANNEL, checked_key(key))))
        self._published.append(key)

    def take_published(self) -> list[str]:
        published, self._published = self._published, []
        return published

    def committed(self, published: list[str]) -> None:
        self._watchers.wake(published)

    @asynccontextmanager
    async def watch(self, *keys: str, unhurried: bool = False) -> AsyncGenerator[LocalWatch]:  # noqa: ARG002
        watch = LocalWatch(tuple(checked_key(key) for key in keys))
        self._watchers.add(watch)
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen(), name="database change feed")
        try:
            yield watch
        finally:
            self._watchers.remove(watch)

    async def _listen(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            before = self.connections
            try:
                await self._follow()
            except (*DATABASE_ERRORS, TimeoutError):
                pause = (
                    FIRST_PAUSE_SECONDS
                    if self.connections > before
                    else min(pause * 2, LONGEST_PAUSE_SECONDS)
                )
                await asyncio.sleep(pause)

    async def _follow(self) -> None:
        """Listen until the connection is lost; raises then."""
        lost = asyncio.Event()

        def closed(_connection: object) -> None:
            lost.set()

        async with self._engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            driver.add_termination_listener(closed)
            try:
                await driver.add_listener(CHANNEL, self._heard)
                self.connections += 1
                self._watchers.wake_all()
                while not lost.is_set():
                    try:
                        async with asyncio.timeout(HEARTBEAT_SECONDS):
                            await lost.wait()
                    except TimeoutError:
                        # A cut network closes nothing by itself.
                        await driver.execute("SELECT 1", timeout=HEARTBEAT_PATIENCE_SECONDS)
                raise ConnectionResetError("the connection that listens for changes was closed by the server")
            finally:
                driver.terminate()
                await connection.invalidate()

    def _heard(self, _connection: object, _process: int, _channel: str, key: str) -> None:
        self._watchers.wake((key,))

    async def close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
        self._watchers.wake_all()
