"""From a database URL to an open database."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from server_kit.database.base import Database
from server_kit.database.postgresql import PostgresqlDatabase
from server_kit.database.sqlite import SqliteDatabase
from server_kit.errors import ConfigurationError, HomeNotWritable

SQLITE = "sqlite+aiosqlite"
POSTGRESQL = "postgresql+asyncpg"
ALLOWED = f"{SQLITE}:///PATH or {POSTGRESQL}://USER:PASSWORD@HOST/DATABASE"


async def open_database(
    url: str, *, patience_seconds: float = 5.0, operation_seconds: float = 30.0
) -> Database:
    """Open the database that `url` names, making a missing SQLite file in an existing directory.

    An operation waits up to `patience_seconds` for other processes, and may then take `operation_seconds`.

    Raises ConfigurationError for a URL that is not allowed, HomeNotWritable, DatabaseCorrupt or
    DatabaseUnavailable.
    """
    parsed = parse_database_url(url)
    if parsed.drivername == POSTGRESQL:
        return await PostgresqlDatabase.open(parsed, patience_seconds, operation_seconds)
    return await SqliteDatabase.open(_sqlite_path(parsed), patience_seconds, operation_seconds)


def parse_database_url(url: str) -> URL:
    """Return the URL, or raise ConfigurationError saying what is allowed, without the password."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(f"the database URL cannot be read; allowed is {ALLOWED}") from None
    if parsed.drivername not in {SQLITE, POSTGRESQL}:
        raise ConfigurationError(f"the database URL begins with {parsed.drivername!r}; allowed is {ALLOWED}")
    if parsed.drivername == SQLITE and parsed.database in {None, "", ":memory:"}:
        raise ConfigurationError(f"the database URL names no file; allowed is {ALLOWED}")
    return parsed


def _sqlite_path(url: URL) -> Path:
    path = Path(url.database or "").expanduser()
    if not path.parent.is_dir():
        raise HomeNotWritable(f"the directory {path.parent} for the database does not exist; create it")
    return path
