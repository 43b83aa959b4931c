"""Processes for durability tests: each writes, says what was acknowledged, and kills itself at a chosen
point.

Reads one JSON object per line on stdin (url, witness, first, point, passes) and forks a process for it, so
that the imports are paid once. On stdout that process writes each acknowledged number as a line; `started
PID` and `ended STATUS` stand around them. Points: see `POINTS`; `never` leaves the killing to the parent.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Column, Integer, MetaData, String, Table, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.keys import key_id
from server_kit.audit_log import AuditLog, audit_tables
from server_kit.database.base import Database
from server_kit.database.opening import open_database

POINTS = (
    "before begin",
    "after begin",
    "after the first statement",
    "after the last statement",
    "before savepoint",
    "after release",
    "before commit",
    "after commit",
    "before the witness",
)
CALLERS = 4
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(b"test only, not a key of anybody!")

metadata = MetaData()
lefts = Table("lefts", metadata, Column("number", Integer, primary_key=True), Column("note", String))
rights = Table("rights", metadata, Column("number", Integer, primary_key=True))
tables = audit_tables(metadata)


def make_log(database: Database, witness: Path) -> AuditLog:
    return AuditLog(
        database=database,
        tables=tables,
        chain="durability",
        private_key=PRIVATE_KEY,
        key_id=key_id(PRIVATE_KEY.public_key()),
        witness=witness,
        checkpoint_every=16,
    )


class Killer:
    def __init__(self, point: str, passes: int) -> None:
        self._point = point
        self._passes = passes

    def reached(self, point: str) -> None:
        if point == self._point:
            if self._passes == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._passes -= 1

    def around(self, target: Any, name: str, before: str | None, after: str | None) -> None:
        original: Callable[..., Any] = getattr(target, name)

        async def wrapped(*arguments: Any, **options: Any) -> Any:
            if before:
                self.reached(before)
            result = await original(*arguments, **options)
            if after:
                self.reached(after)
            return result

        setattr(target, name, wrapped)


async def write_for_ever(database: Database, log: AuditLog, killer: Killer, first: int) -> None:
    async def operation(connection: AsyncConnection, number: int) -> None:
        await connection.execute(insert(lefts), {"number": number, "note": "x" * 200})
        killer.reached("after the first statement")
        await log.append(
            connection, "pair.written", actor="test", subject=str(number), details={"number": number}
        )
        await connection.execute(insert(rights), {"number": number})
        killer.reached("after the last statement")

    async def caller(start: int) -> None:
        number = start
        while True:
            await database.write(lambda connection, n=number: operation(connection, n))
            # One write call per line: a kill between two calls cannot leave half a number.
            os.write(1, b"%d\n" % number)
            number += CALLERS

    await asyncio.gather(*(caller(first + offset) for offset in range(CALLERS)))


async def write_until_killed(url: str, witness: str, first: int, point: str, passes: int) -> None:
    killer = Killer(point, passes)
    database = await open_database(url)
    log = make_log(database, Path(witness))
    session = database._writer._session  # type: ignore[attr-defined]
    killer.around(session, "begin", "before begin", "after begin")
    killer.around(session, "savepoint", "before savepoint", None)
    killer.around(session, "release", None, "after release")
    killer.around(session, "commit", "before commit", "after commit")
    append = log._witness.append

    def before_witness(checkpoint: Any) -> None:
        killer.reached("before the witness")
        append(checkpoint)

    log._witness.append = before_witness
    await write_for_ever(database, log, killer, first)


def main() -> None:
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            uvloop.run(write_until_killed(**json.loads(line)))
            os._exit(1)
        os.write(1, b"started %d\n" % process)
        _, status = os.waitpid(process, 0)
        os.write(1, b"ended %d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
