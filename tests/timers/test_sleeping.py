"""The worker that sleeps until a deadline: exact, woken by others, and unmoved by clocks that are set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hitl_mcp.approvals.models import RequestStatus
from hitl_mcp.notifiers.deadline_worker import DeadlineWorker
from server_kit.database.base import Database
from server_kit.database.opening import open_database
from server_kit.errors import DatabaseUnavailable
from tests.approvals.world import World, create_schema, submission
from tests.notifiers.desk import MovableClock


@dataclass
class NotedDeadlines:
    """Implements `deadline_worker.Deadlines`: deadlines at given times, and when each was worked."""

    clock: MovableClock
    due: list[datetime]
    worked: dict[datetime, datetime] = field(default_factory=dict[datetime, datetime])
    asked: int = 0
    failures: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run_deadlines(self, *, now: datetime) -> int:
        self.asked += 1
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailable("away") if self.failures % 2 else RuntimeError("a defect")
        for each in [each for each in self.due if each <= now]:
            self.due.remove(each)
            self.worked[each] = self.clock.now()
            self.changed.set()
        return 0

    async def next_deadline(self) -> datetime | None:
        return min(self.due, default=None)

    async def all_worked(self, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while self.due:
                self.changed.clear()
                await self.changed.wait()

    def lateness(self) -> float:
        """The worst, in seconds; no deadline is worked early."""
        late = [(at - due).total_seconds() for due, at in self.worked.items()]
        assert min(late) >= 0
        return max(late)


@asynccontextmanager
async def working(
    database: Database, deadlines: NotedDeadlines, *, leads: bool = True
) -> AsyncIterator[DeadlineWorker]:
    worker = DeadlineWorker(
        deadlines=deadlines, changes=database.changes, clock=deadlines.clock, leads=lambda: leads
    )
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_each_deadline_is_worked_at_its_time_and_the_database_is_left_alone_between(
    database: Database,
) -> None:
    clock = MovableClock()
    now = clock.now()
    deadlines = NotedDeadlines(clock, [now + timedelta(seconds=s) for s in (0.2, 0.9, 1.6, 2.4)])
    async with working(database, deadlines):
        await deadlines.all_worked(10)
    assert deadlines.lateness() < 1.0
    assert deadlines.asked <= 6


async def test_with_nothing_due_soon_nothing_is_asked(database: Database) -> None:
    clock = MovableClock()
    deadlines = NotedDeadlines(clock, [clock.now() + timedelta(hours=1)])
    async with working(database, deadlines):
        await asyncio.sleep(2.5)
        # Once at the start, and on PostgreSQL once more when the connection that listens is there.
        assert deadlines.asked <= 2


async def test_a_clock_set_forward_is_noticed_within_a_second(database: Database) -> None:
    clock = MovableClock()
    deadlines = NotedDeadlines(clock, [clock.now() + timedelta(hours=1)])
    async with working(database, deadlines):
        await asyncio.sleep(0.3)
        clock.advance(3600)
        await deadlines.all_worked(2)
    assert deadlines.lateness() < 1.5


async def test_a_clock_that_is_set_has_deadlines_asked_for_that_were_not_announced(
    database: Database,
) -> None:
    clock = MovableClock()
    deadlines = NotedDeadlines(clock, [clock.now() + timedelta(hours=1)])
    async with working(database, deadlines):
        await asyncio.sleep(0.3)
        deadlines.due.append(clock.now() + timedelta(minutes=30))
        clock.advance(30 * 60 + 1)
        async with asyncio.timeout(3):
            await deadlines.changed.wait()
    assert len(deadlines.worked) == 1


async def test_a_clock_set_back_makes_nothing_early(database: Database) -> None:
    clock = MovableClock()
    deadlines = NotedDeadlines(clock, [clock.now() + timedelta(seconds=1)])
    async with working(database, deadlines):
        await asyncio.sleep(0.2)
        clock.advance(-3)
        with pytest.raises(TimeoutError):
            await deadlines.all_worked(1.5)
        clock.advance(3)
        await deadlines.all_worked(2)
    assert deadlines.lateness() < 1.5


async def test_failures_of_the_database_and_defects_are_outlasted(database: Database) -> None:
    clock = MovableClock()
    deadlines = NotedDeadlines(clock, [clock.now()], failures=2)
    async with working(database, deadlines):
        await deadlines.all_worked(6)


async def test_who_does_not_lead_leaves_it_to_the_leader_and_steps_in_within_a_second(
    database: Database,
) -> None:
    clock = MovableClock()
    due = clock.now() + timedelta(seconds=0.2)
    deadlines = NotedDeadlines(clock, [due])
    async with working(database, deadlines, leads=False):
        await deadlines.all_worked(3)
    late = (deadlines.worked[due] - due).total_seconds()
    assert 0.5 <= late < 1.5


async def test_a_deadline_that_another_process_stored_is_worked_at_its_time(
    database_url: str, tmp_path: Path
) -> None:
    """Two connections to one database, as two servers have; one asks, the other works deadlines."""
    here, there = await open_database(database_url), await open_database(database_url)
    await create_schema(here)
    clock = MovableClock()
    asking, ending = World(there, clock, tmp_path), World(here, clock, tmp_path)
    worker = DeadlineWorker(deadlines=ending.service, changes=here.changes, clock=clock, leads=lambda: True)
    running = asyncio.create_task(worker.run())
    try:
        await asyncio.sleep(0.5)
        record = await asking.service.submit("agent-1", submission(timeout=10))
        clock.advance(8.5)
        async with asyncio.timeout(10), there.changes.watch(f"request:{record.request.request_id}") as watch:
            while "request.timed_out" not in await asking.events_about(record.request.request_id):
                await watch.wait(1)
        ended = await asking.service.get(record.request.request_id)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await here.close()
        await there.close()
    assert ended.request.status is RequestStatus.TIMEOUT
    assert ended.request.decided_at is not None
    late = (ended.request.decided_at - ended.request.expires_at).total_seconds()
    assert 0 <= late < 1.5
    assert ended.request.decided_at.tzinfo is UTC
