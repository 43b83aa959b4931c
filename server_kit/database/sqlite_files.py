"""Opening SQLite files so that a commit is durable, and saying plainly what is wrong with one."""

from __future__ import annotations

import os
import sqlite3
import time
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from server_kit.database.sqlite_driver import InlineConnection, SqliteConnection
from server_kit.errors import DatabaseCorrupt, DatabaseUnavailable, HomeNotWritable, ServerError

CACHE_KIBIBYTES = 16_384
LOCKED_PAUSE_SECONDS = 0.005
# Above this size a check of every page would hold up the start; damage is then found where it is touched.
CHECKED_ON_OPENING_BYTES = 32 * 1024 * 1024

_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_WAITING_HELPS = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_UNAVAILABLE = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "reading or writing the file failed; check the disk",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; check that it exists and who may read it",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
    sqlite3.SQLITE_PROTOCOL: "the file's locks do not work; do not keep it on a network file system",
    sqlite3.SQLITE_BUSY: "another process holds it locked; it is tried again with the next request",
    sqlite3.SQLITE_LOCKED: "another connection holds it locked; it is tried again with the next request",
}


@dataclass(frozen=True)
class FileIdentity:
    """Which file a path led to; another one under the same path is another database."""

    device: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> FileIdentity:
        status = path.stat()
        return cls(status.st_dev, status.st_ino)


@dataclass(frozen=True)
class OpenConnection:
    """A connection as SQLAlchemy shows it to operations, and the driver's own view of it."""

    connection: AsyncConnection
    driver: SqliteConnection

    async def close(self) -> None:
        await self.connection.close()


def primary_code(error: BaseException) -> int | None:
    """Return SQLite's primary result code of an error, also when SQLAlchemy or a store has wrapped it."""
    for candidate in (
        error,
        getattr(error, "orig", None),
        error.__cause__,
        getattr(error.__cause__, "orig", None),
    ):
        code = getattr(candidate, "sqlite_errorcode", None)
        if code is not None:
            return int(code) & 0xFF
    return None


def waiting_helps(error: BaseException) -> bool:
    """Whether somebody else's lock is all that is wrong."""
    return primary_code(error) in _WAITING_HELPS


def explain(error: BaseException, path: Path) -> ServerError | None:
    """Return what the error says about the database; None when it is about the statement."""
    code = primary_code(error)
    if code in _CORRUPT:
        reason = "is damaged or not a database; restore it from a backup, or move it away to begin anew"
        return DatabaseCorrupt(f"the database {path} {reason} ({getattr(error, 'orig', None) or error})")
    if code == sqlite3.SQLITE_READONLY:
        return HomeNotWritable(
            f"the database {path} cannot be written; check the permissions of the file and directory"
        )
    if code in _UNAVAILABLE:
        return DatabaseUnavailable(f"the database {path} did not take the operation: {_UNAVAILABLE[code]}")
    return None


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open an existing database file for one task at a time, in any thread."""
    raw = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=0,
    )
    try:
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("PRAGMA foreign_keys=ON")
        raw.execute(f"PRAGMA cache_size=-{CACHE_KIBIBYTES}")
        if read_only:
            raw.execute("PRAGMA query_only=ON")
    except BaseException:
        raw.close()
        raise
    return raw


def create_or_check(path: Path, *, patience_seconds: float) -> None:
    """Make the file with mode 0600 when it is missing, switch it to WAL, and look whether it is sound.

    Raises HomeNotWritable, DatabaseCorrupt or DatabaseUnavailable. Blocks while somebody else holds the file
    locked.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise HomeNotWritable(
            f"the database {path} cannot be opened for writing: {error.strerror}"
        ) from error
    until = time.monotonic() + patience_seconds
    while True:
        try:
            _prepare(path)
        except sqlite3.Error as error:
            # SQLite's own waiting leaves out the moments in which the file's mode changes.
            if waiting_helps(error) and time.monotonic() < until:
                time.sleep(LOCKED_PAUSE_SECONDS)
                continue
            damaged = DatabaseCorrupt(f"the database {path} is damaged; restore it from a backup ({error})")
            raise explain(error, path) or damaged from error
        return


def _prepare(path: Path) -> None:
    with closing(connect(path)) as raw:
        raw.execute("PRAGMA journal_mode=WAL")
        if path.stat().st_size <= CHECKED_ON_OPENING_BYTES:
            found = raw.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(" ".join(str(found).split()))
        raw.execute("BEGIN IMMEDIATE")
        raw.execute(
            "CREATE TABLE IF NOT EXISTS change_feed (sequence INTEGER PRIMARY KEY, key TEXT NOT NULL)"
        )
        raw.execute("COMMIT")


async def open_connection(path: Path, executor: Executor, *, read_only: bool) -> OpenConnection:
    """Open the file and lend the connection to SQLAlchemy. Raises sqlite3.Error."""
    raw = connect(path, read_only=read_only)
    driver = SqliteConnection(raw, executor, read_only=read_only)

    return OpenConnection(await InlineConnection(driver), driver)
