"""The seam to the database: what every store is written against, on SQLite and on PostgreSQL alike.

Above it: the stores of both servers. Below it: `sqlite.SqliteDatabase` and `postgresql.PostgresqlDatabase`,
opened by `opening.open_database`. All writes of one database happen one after another, in every process, so
an operation may check and then act without a lock of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")

Operation = Callable[[AsyncConnection], Awaitable[T]]
Dialect = Literal["sqlite", "postgresql"]

MAX_KEY_CHARACTERS = 512


class Watch(Protocol):
    """A standing interest in some keys, from entering `ChangeFeed.watch` to leaving it."""

    async def wait(self, timeout_seconds: float) -> bool:
        """Return True once one of the keys was published since the last return, False after
        `timeout_seconds`.

        It may return True without a change; a change is never missed. Read the state after entering the watch
        and after every return.
        """
        ...


class ChangeFeed(Protocol):
    """Tells waiters, in this process and in others on the same database, that something was committed."""

    async def publish(self, connection: AsyncConnection, key: str) -> None:
        """Announce `key` when the transaction of `connection` commits; only inside `Database.write`."""
        ...

    def watch(self, *keys: str, unhurried: bool = False) -> AbstractAsyncContextManager[Watch]:
        """Watch these keys. Who is `unhurried` may learn of another process's changes a quarter of a second
        late, which lets an idle process sleep.
        """
        ...


class Database(Protocol):
    """One database, shared by all of a server's stores."""

    @property
    def dialect(self) -> Dialect: ...

    @property
    def changes(self) -> ChangeFeed: ...

    async def write(self, operation: Operation[T]) -> T:
        """Run `operation` in one transaction and return its result after a durable commit.

        `operation` may run more than once and must have no effect outside its connection. It must not commit
        or roll back: an exception rolls back this operation alone and propagates. When the caller is
        cancelled the operation still happens as a whole or not at all. Raises DatabaseUnavailable.
        """
        ...

    async def read(self, operation: Operation[T]) -> T:
        """Run `operation` on one consistent snapshot, without the right to change anything. Raises
        DatabaseUnavailable.
        """
        ...

    async def close(self) -> None:
        """Finish the writes already asked for, then close every connection."""
        ...
