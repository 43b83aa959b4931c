"""What an error of PostgreSQL says about the database and the transaction."""

from __future__ import annotations

from enum import Enum, auto

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from server_kit.errors import DatabaseUnavailable


class Meaning(Enum):
    """How an operation's error is to be taken."""

    OPERATION = auto()  # the operation's own affair, such as a violated constraint
    CONFLICT = auto()  # undone by the server in favour of another transaction: try again
    CONNECTION_LOST = auto()
    UNAVAILABLE = auto()  # the server is there but cannot do it: full, overloaded, locked, read-only


# The second is what the driver says when the server's farewell arrives as a statement is being sent.
CONNECTION_ERRORS = (asyncpg.InterfaceError, asyncpg.InternalClientError)
_CONFLICT = {"40001", "40P01"}
_CONNECTION_LOST = {"57P01", "57P02", "57P03", "57P05", "25P03"}
_UNAVAILABLE = {
    "25006": "it is a read-only standby",
    "55P03": "another transaction held its lock too long",
    "57014": "a statement took too long",
}
_UNAVAILABLE_CLASSES = {
    "53": "it is out of disk, memory or connections",
    "58": "reading or writing its files failed",
    "XX": "it reports an internal error or damaged data",
}


def sqlstate(error: BaseException) -> str | None:
    """Return the five-letter code of an error, also when SQLAlchemy or a store has wrapped it."""
    for candidate in (
        error,
        getattr(error, "orig", None),
        error.__cause__,
        getattr(error.__cause__, "orig", None),
    ):
        code = getattr(candidate, "sqlstate", None)
        if isinstance(code, str):
            return code
    return None


def meaning(error: BaseException) -> Meaning:
    """Classify an error that came out of an operation or a statement."""
    code = sqlstate(error)
    if isinstance(error, PoolTimeout):
        return Meaning.UNAVAILABLE
    if code in _CONFLICT:
        return Meaning.CONFLICT
    if code in _CONNECTION_LOST or (code or "").startswith("08"):
        return Meaning.CONNECTION_LOST
    for candidate in (error, error.__cause__):
        if isinstance(candidate, DBAPIError) and candidate.connection_invalidated:
            return Meaning.CONNECTION_LOST
    if isinstance(error, (OSError, *CONNECTION_ERRORS)) and not isinstance(error, TimeoutError):
        return Meaning.CONNECTION_LOST
    if code in _UNAVAILABLE or (code or "")[:2] in _UNAVAILABLE_CLASSES:
        return Meaning.UNAVAILABLE
    return Meaning.OPERATION


def unavailable(error: BaseException, place: str) -> DatabaseUnavailable:
    """Return the error for callers: where the database is and what is wrong, never the password."""
    code = sqlstate(error)
    if code is not None:
        known = _UNAVAILABLE.get(code) or _UNAVAILABLE_CLASSES.get(code[:2])
        reason = known or _first_line(getattr(error, "orig", None) or error)
    elif isinstance(error, (TimeoutError, PoolTimeout)):
        reason = "it does not answer in time"
    elif isinstance(error, OSError):
        reason = f"no connection ({error.strerror or 'refused on every address'})"
    else:
        reason = "the connection was lost"
    return DatabaseUnavailable(f"the database {place} did not take the operation: {reason}")


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
