"""Which executor processes are alive, and what the dead ones left unfinished.

Where a process shares this home its lock file tells: it is dead at once when the lock can be taken, and
alive while it cannot, whatever a clock says. Elsewhere it is dead when its lease has run out by the
database's clock.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.models import UNFINISHED
from executor_mcp.storage.columns import database_clock
from executor_mcp.storage.schema import executions, executor_processes, waiting_executions
from executor_mcp.storage.waiting import NOBODY
from server_kit.database.base import Database

_MICROSECONDS = 1_000_000


def processes_directory(home: Path) -> Path:
    """Where the executors of a home have their lock files and the sockets by which they tell how they are."""
    return home / "processes"


class ProcessLock:
    """A file that is locked for as long as this process lives, however it ends: the kernel lets go of it."""

    def __init__(self, directory: Path, owner: str) -> None:
        self._path = directory / f"{owner}.lock"
        self._file: IO[bytes] | None = None

    def acquire(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = self._path.open("wb")
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None


def is_known_alive(directory: Path, owner: str) -> bool | None:
    """Whether somebody holds the owner's lock file; None when it is not here, so that nothing is known."""
    try:
        with (directory / f"{owner}.lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


class ProcessRegistry:
    """The rows of `executor_processes`."""

    def __init__(self, database: Database, *, host: str, lease_seconds: float) -> None:
        self._database = database
        self._host = host
        self._lease = int(lease_seconds * _MICROSECONDS)
        self._clock = database_clock(database.dialect)

    async def renew(self, owner: str) -> None:
        """Register the process, or lengthen its lease; also when another took it for dead and forgot it."""
        insert = postgresql.insert if self._database.dialect == "postgresql" else sqlite.insert
        until = self._clock + self._lease
        row = {"owner": owner, "host": self._host, "process_id": os.getpid(), "alive_until": until}
        statement = insert(executor_processes).values(row)
        renewed = statement.on_conflict_do_update(
            index_elements=[executor_processes.c.owner], set_={"alive_until": until}
        )

        async def write(connection: AsyncConnection) -> None:
            await connection.execute(renewed)

        await self._database.write(write)

    async def forget(self, owner: str) -> None:
        async def write(connection: AsyncConnection) -> None:
            await connection.execute(delete(executor_processes).where(executor_processes.c.owner == owner))

        await self._database.write(write)

    async def suspects(self) -> tuple[tuple[str, bool], ...]:
        """Owners of unfinished executions and of claims, each with whether its lease has run out."""
        running = select(executions.c.owner).where(
            executions.c.status.in_([status.value for status in UNFINISHED]), executions.c.owner != NOBODY
        )
        claiming = select(waiting_executions.c.claimed_by.label("owner")).where(
            waiting_executions.c.claimed_by.is_not(None)
        )
        owners = running.union(claiming).subquery()

        async def read(connection: AsyncConnection) -> tuple[tuple[str, bool], ...]:
            rows = await connection.execute(
                select(owners.c.owner, executor_processes.c.alive_until, self._clock.label("now")).join_from(
                    owners, executor_processes, owners.c.owner == executor_processes.c.owner, isouter=True
                )
            )
            return tuple((row.owner, row.alive_until is None or row.alive_until < row.now) for row in rows)

        return await self._database.read(read)

    async def unfinished_of(self, owners: Sequence[str]) -> tuple[str, ...]:
        """Ids of the unfinished executions of these owners."""

        async def read(connection: AsyncConnection) -> tuple[str, ...]:
            rows = await connection.execute(
                select(executions.c.execution_id).where(
                    executions.c.owner.in_(owners),
                    executions.c.status.in_([status.value for status in UNFINISHED]),
                )
            )
            return tuple(rows.scalars())

        return await self._database.read(read)


def remove_lock_file(directory: Path, owner: str) -> None:
    """Clean up after a process that is known to be dead."""
    with suppress(OSError):
        (directory / f"{owner}.lock").unlink(missing_ok=True)
