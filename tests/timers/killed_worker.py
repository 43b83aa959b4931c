"""Processes that work deadlines and are killed with SIGKILL at a named point. Run by `test_killed.py`.

Usage: python -m tests.timers.killed_worker DATABASE_URL HOME

Each line of input is a JSON list of workers to run at the same time, each as [SECONDS_AHEAD, POINT,
WHICH_TIME]; the answer is the list of their exit statuses. Forked, since starting Python takes longer than
what is tested.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.deadlines import Deadline
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.approvals.terms import Terms
from server_kit.database.base import Dialect
from server_kit.database.opening import open_database
from tests.approvals.crashing_server import (
    CrashingDatabase,
    CrashingOutbox,
    CrashingStore,
    CrashingTrail,
    Fuse,
)
from tests.approvals.world import World
from tests.notifiers.desk import MovableClock
from tests.timers.asking import OnTerms


class LateFuse(Fuse):
    """Kills at the `which`-th time that the point is reached."""

    def __init__(self, point: str, which: int) -> None:
        super().__init__(point)
        self.armed = True
        self._left = which

    def reached(self, point: str) -> None:
        if point == self.point:
            self._left -= 1
        if self._left == 0:
            super().reached(point)


class TakingStore(CrashingStore):
    def __init__(self, dialect: Dialect, fuse: Fuse) -> None:
        super().__init__(dialect, fuse)
        self._taking = fuse

    async def take_deadline(self, connection: AsyncConnection, deadline: Deadline, now: datetime) -> bool:
        taken = await super().take_deadline(connection, deadline, now)
        self._taking.reached("taken")
        return taken

    async def take_all(
        self, connection: AsyncConnection, name: str, request_ids: Collection[str], now: datetime
    ) -> Collection[str]:
        taken = await super().take_all(connection, name, request_ids, now)
        self._taking.reached("taken")
        return taken


async def main(url: str, home: Path, ahead: float, point: str, which: int) -> None:
    fuse = LateFuse(point, which)
    clock = MovableClock()
    clock.advance(ahead)
    database = CrashingDatabase(await open_database(url), fuse)
    world = World(database, clock, home, OnTerms(Terms()))
    service = ApprovalService(
        replace(
            world.ports,
            store=TakingStore(database.dialect, fuse),
            audit=CrashingTrail(world, fuse),
            outbox=CrashingOutbox(fuse),
        )
    )
    await service.run_deadlines(now=clock.now())
    await database.close()


def fork(url: str, home: Path, ahead: float, point: str, which: int) -> int:
    process = os.fork()
    if process == 0:
        asyncio.run(main(url, home, ahead, point, which))
        os._exit(0)
    return process


if __name__ == "__main__":
    for line in sys.stdin:
        started = [fork(sys.argv[1], Path(sys.argv[2]), *job) for job in json.loads(line)]
        statuses = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in started]
        print(json.dumps(statuses), flush=True)  # noqa: T201 - read by the test
