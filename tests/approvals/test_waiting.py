"""Waiting for a decision: in one process, across processes and replicas, by very many at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text

from hitl_mcp.approvals.models import RequestStatus, Verdict
from server_kit.clock import SystemClock
from server_kit.database.base import Database
from server_kit.database.opening import open_database
from tests.approvals.world import World, create_schema, submission, verdict
from tests.conftest import ManualClock


async def settled() -> None:
    """Let every task that can run do so, up to its next wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def waiting(world: World, request_id: str, timeout: float = 30) -> asyncio.Task[object]:
    task: asyncio.Task[object] = asyncio.create_task(world.service.wait(request_id, timeout))  # type: ignore[arg-type]
    # The waiter reads twice before it sleeps; a read of our own behind each of them has waited for it.
    for _ in range(3):
        await settled()
        await world.service.get(request_id)
    return task


async def test_a_waiter_gets_the_decision(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    task = await waiting(world, record.request.request_id)
    decided = await world.service.decide(verdict(record, "alice", Verdict.DENY))
    assert await asyncio.wait_for(task, 5) == decided


async def test_waiting_for_an_ended_request_returns_at_once(world: World) -> None:
    record = await world.approved()
    assert await world.service.wait(record.request.request_id, 30) == record


async def test_a_waiter_whose_time_is_up_gets_the_request_as_it_is(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    assert await world.service.wait(record.request.request_id, 0.05) == record
    assert await world.service.wait(record.request.request_id, 0) == record


async def test_a_cancelled_waiter_leaves_the_request_and_the_other_waiters_alone(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    leaver, stayer = [await waiting(world, record.request.request_id) for _ in range(2)]
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    assert (await world.service.get(record.request.request_id)).request.status is RequestStatus.PENDING
    decided = await world.service.decide(verdict(record, "alice"))
    assert await asyncio.wait_for(stayer, 5) == decided


async def test_a_waiter_is_told_of_the_timeout_without_a_dispatcher(
    database: Database, tmp_path: Path
) -> None:
    await create_schema(database)
    clock = ManualClock()
    world = World(database, clock, tmp_path)
    record = await world.service.submit("agent-1", submission(timeout=10))
    clock.advance(9.95)
    task = asyncio.create_task(world.service.wait(record.request.request_id, 30))
    await settled()
    clock.advance(0.05)
    ended = await asyncio.wait_for(task, 5)
    assert ended.request.status is RequestStatus.TIMEOUT


async def test_nothing_is_left_behind_when_the_last_waiter_leaves(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    await world.service.wait(record.request.request_id, 0.01)
    before = len(asyncio.all_tasks())
    await asyncio.gather(*(world.service.wait(record.request.request_id, 0.05) for _ in range(10)))
    await settled()
    assert len(asyncio.all_tasks()) <= before


async def test_when_the_process_ends_everybody_who_waits_learns_how_things_stand(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    tasks = [await waiting(world, record.request.request_id) for _ in range(3)]
    world.service.end_waiting()
    assert await asyncio.wait_for(asyncio.gather(*tasks), 5) == [record] * 3
    assert await asyncio.wait_for(world.service.wait(record.request.request_id, 30), 5) == record
    world.service.end_waiting()


async def test_a_decision_wakes_a_waiter_of_the_same_process_within_15_milliseconds(
    sqlite_url: str, tmp_path: Path
) -> None:
    database = await open_database(sqlite_url)
    await create_schema(database)
    world = World(database, SystemClock(), tmp_path)
    delays: list[float] = []
    for number in range(21):
        record = await world.service.submit("agent-1", submission(f"print({number})"))
        task = await waiting(world, record.request.request_id)
        await world.service.decide(verdict(record, "alice"))
        decided = time.perf_counter()
        await asyncio.wait_for(task, 5)
        delays.append(time.perf_counter() - decided)
    await database.close()
    assert sorted(delays)[len(delays) // 2] < 0.015


@pytest_asyncio.fixture
async def other_process(database_url: str) -> AsyncIterator[Database]:
    """A second connection pool on the same database: to the change feed this is another process."""
    opened = await open_database(database_url)
    yield opened
    await opened.close()


async def test_a_decision_in_another_process_wakes_a_waiter_within_150_milliseconds(
    world: World, other_process: Database, tmp_path: Path
) -> None:
    other = World(other_process, world.clock, tmp_path)
    delays: list[float] = []
    for number in range(11):
        record = await world.service.submit("agent-1", submission(f"print({number})"))
        task = await waiting(world, record.request.request_id)
        await other.service.decide(verdict(record, "alice"))
        decided = time.perf_counter()
        await asyncio.wait_for(task, 5)
        delays.append(time.perf_counter() - decided)
    assert sorted(delays)[len(delays) // 2] < 0.15


async def test_two_processes_deciding_at_once_end_a_request_once(
    world: World, other_process: Database, tmp_path: Path
) -> None:
    other = World(other_process, world.clock, tmp_path)
    for number in range(10):
        record = await world.service.submit("agent-1", submission(f"print({number})"))
        await asyncio.gather(
            world.service.decide(verdict(record, "alice")),
            other.service.decide(verdict(record, "bob", Verdict.DENY)),
            return_exceptions=True,
        )
        one = await world.service.get(record.request.request_id)
        assert one == await other.service.get(record.request.request_id)
        assert len(one.decisions) == 1
        notified = await world.notifications_about(record.request.request_id)
        assert notified == ["created", "ended"]


async def test_a_waiter_outlives_changes_of_other_requests(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    task = await waiting(world, record.request.request_id)
    for number in range(5):
        await world.approved(code=f"print({number}, 'other')")
    assert not task.done()
    await world.service.decide(verdict(record, "alice"))
    await asyncio.wait_for(task, 5)


async def test_an_error_while_waiting_reaches_every_waiter_and_no_later_one(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    tasks = [await waiting(world, record.request.request_id) for _ in range(3)]

    async def hide(connection: object) -> None:
        await connection.execute(text("ALTER TABLE requests RENAME TO hidden"))  # type: ignore[attr-defined]
        await world.database.changes.publish(connection, f"request:{record.request.request_id}")  # type: ignore[arg-type]

    async def show(connection: object) -> None:
        await connection.execute(text("ALTER TABLE hidden RENAME TO requests"))  # type: ignore[attr-defined]

    await world.database.write(hide)
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    assert all(isinstance(result, Exception) for result in results)
    await world.database.write(show)
    assert await world.service.wait(record.request.request_id, 0.05) == record


@pytest.mark.timeout(120)
async def test_ten_thousand_waiters_on_two_hundred_requests_are_all_told(
    sqlite_url: str, tmp_path: Path
) -> None:
    database = await open_database(sqlite_url)
    await create_schema(database)
    world = World(database, SystemClock(), tmp_path)
    records = await asyncio.gather(
        *(world.service.submit("agent-1", submission(f"print({number})")) for number in range(200))
    )
    waiters = [
        asyncio.create_task(world.service.wait(record.request.request_id, 60))
        for record in records
        for _ in range(50)
    ]
    await asyncio.gather(*(waiting(world, record.request.request_id) for record in records[:3]))
    started = time.perf_counter()
    await world.service.get(records[0].request.request_id)
    answered = time.perf_counter() - started
    await asyncio.gather(*(world.service.decide(verdict(record, "alice")) for record in records))
    ended = await asyncio.wait_for(asyncio.gather(*waiters), 60)
    assert {record.request.status for record in ended} == {RequestStatus.APPROVED}
    assert answered < 1
    await database.close()
