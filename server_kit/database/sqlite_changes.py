"""News of changes between processes on one SQLite file.

A published key is a row of `change_feed`, committed with what it announces. Inside the process watchers are
woken right after the commit. Other processes notice by `PRAGMA data_version`, which reads a counter in shared
memory and is asked only while somebody watches, and seldom while nobody is in a hurry: waking up is what
costs. The new rows then say whom to wake.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from sqlalchemy import column, table
from sqlalchemy.ext.asyncio import AsyncConnection

from server_kit.database.sqlite_driver import InlineConnection
from server_kit.database.sqlite_files import FileIdentity, connect
from server_kit.database.watching import LocalWatch, Watchers, checked_key

POLL_SECONDS = 0.025
# People take their time: after two seconds without any commit half the pace does.
QUIET_POLLS = 80
QUIET_POLL_SECONDS = 0.05
UNHURRIED_POLL_SECONDS = 0.25
POLLS_PER_IDENTITY_CHECK = 20
BROKEN_SECONDS = 0.25
KEPT_ROWS = 8192
PRUNED_EVERY = 1024

_change_feed = table("change_feed", column("sequence"), column("key"))
_INSERT: Final = "INSERT INTO change_feed (key) VALUES (?)"


@dataclass
class _Position:
    raw: sqlite3.Connection
    identity: FileIdentity
    version: int
    sequence: int


class SqliteChangeFeed:
    """Implements `base.ChangeFeed`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._watchers = Watchers()
        self._published: list[tuple[int, str]] = []
        self._poller: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._own: set[int] = set()
        self._connection: tuple[FileIdentity, sqlite3.Connection] | None = None
        self.polls = 0

    async def publish(self, connection: AsyncConnection, key: str) -> None:
        # All connections of this dialect are ours.
        inline = cast("InlineConnection", connection)
        sequence = int(inline.change(_INSERT, (checked_key(key),)).lastrowid or 0)
        self._published.append((sequence, key))
        if sequence % PRUNED_EVERY == 0:
            old = _change_feed.delete().where(_change_feed.c.sequence <= sequence - KEPT_ROWS)
            await connection.execute(old)

    def take_published(self) -> list[tuple[int, str]]:
        published, self._published = self._published, []
        return published

    def committed(self, published: list[tuple[int, str]]) -> None:
        if not published:
            return
        if self._poller is not None:
            self._own.update(sequence for sequence, _ in published)
        self._watchers.wake(key for _, key in published)

    @asynccontextmanager
    async def watch(self, *keys: str, unhurried: bool = False) -> AsyncGenerator[LocalWatch]:
        watch = LocalWatch(tuple(checked_key(key) for key in keys), unhurried=unhurried)
        if self._poller is None:
            # Taken before the watch is entered, so that all that is committed from then on is seen.
            position = self._position_or_none()
            self._poller = asyncio.create_task(self._poll(position), name="database change feed")
        self._watchers.add(watch)
        if not unhurried:
            self._hurry.set()
        try:
            yield watch
        finally:
            self._watchers.remove(watch)
            if not self._watchers:
                self._stop()

    def _stop(self) -> asyncio.Task[None] | None:
        poller, self._poller = self._poller, None
        if poller is not None:
            poller.cancel()
        return poller

    def _take_position(self) -> _Position:
        """Say how far the file is now, on a connection that is kept from one watch to the next."""
        identity = FileIdentity.of(self._path)
        if self._connection is None or self._connection[0] != identity:
            self._forget_connection()
            self._connection = (identity, connect(self._path, read_only=True))
        self._own.clear()
        raw = self._connection[1]
        return _Position(raw, identity, _data_version(raw), _last_sequence(raw))

    def _position_or_none(self) -> _Position | None:
        try:
            return self._take_position()
        except (sqlite3.Error, OSError):
            return None

    def _forget_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection[1].close()

    async def _poll(self, position: _Position | None) -> None:
        """Watch until cancelled, whatever the database does; everybody is woken when it is back."""
        while True:
            try:
                if position is None:
                    position = self._take_position()
                    self._watchers.wake_all()
                await self._follow(position)
            except (sqlite3.Error, OSError):
                self._forget_connection()
                await asyncio.sleep(BROKEN_SECONDS)
            position = None

    async def _follow(self, position: _Position) -> None:
        """Wake whom it concerns for as long as the path leads to the same file."""
        quiet = 0
        while position.identity == FileIdentity.of(self._path):
            for _ in range(POLLS_PER_IDENTITY_CHECK):
                quiet = await self._pause(quiet)
                self.polls += 1
                seen = _data_version(position.raw)
                if seen != position.version:
                    quiet = 0
                    position.sequence = self._wake_after(position.raw, position.sequence)
                    position.version = seen

    async def _pause(self, quiet: int) -> int:
        """Sleep until the next look; return how many looks in a row have now seen nothing."""
        if self._watchers.hurried:
            await asyncio.sleep(POLL_SECONDS if quiet < QUIET_POLLS else QUIET_POLL_SECONDS)
            return quiet + 1
        self._hurry.clear()
        try:
            async with asyncio.timeout(UNHURRIED_POLL_SECONDS):
                await self._hurry.wait()
        except TimeoutError:
            return quiet + 1
        return 0

    def _wake_after(self, raw: sqlite3.Connection, sequence: int) -> int:
        """Wake who watches what was published after `sequence`; return the last sequence seen."""
        last = _last_sequence(raw)
        rows = raw.execute(
            "SELECT sequence, key FROM change_feed WHERE sequence > ? ORDER BY sequence", (sequence,)
        )
        found = rows.fetchall()
        if last < sequence or (found and found[0][0] != sequence + 1):
            self._watchers.wake_all()
            self._own.clear()
        else:
            self._watchers.wake(key for number, key in found if number not in self._own)
            self._own.difference_update(number for number, _ in found)
        return found[-1][0] if found else last

    async def close(self) -> None:
        poller = self._stop()
        if poller is not None:
            await asyncio.gather(poller, return_exceptions=True)
        self._forget_connection()
        self._watchers.wake_all()


def _data_version(raw: sqlite3.Connection) -> int:
    return int(raw.execute("PRAGMA data_version").fetchone()[0])


def _last_sequence(raw: sqlite3.Connection) -> int:
    return int(raw.execute("SELECT coalesce(max(sequence), 0) FROM change_feed").fetchone()[0])
