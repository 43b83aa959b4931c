"""Time running out, and racing with people."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.errors import (
    AlreadyEnded,
)
from hitl_mcp.approvals.models import RequestRecord, RequestStatus
from hitl_mcp.storage.schema import deadlines
from tests.approvals.world import World, submission, verdict
from tests.conftest import ManualClock


async def test_silence_times_a_request_out_and_everybody_is_told(world: World, clock: ManualClock) -> None:
    record = await world.service.submit("agent-1", submission(timeout=60))
    assert await world.service.next_deadline() == record.request.expires_at
    clock.advance(59.9)
    assert await world.service.run_deadlines(now=clock.now()) == 0
    clock.advance(0.1)
    assert await world.service.run_deadlines(now=clock.now()) == 1
    ended = await world.service.get(record.request.request_id)
    assert ended.request.status is RequestStatus.TIMEOUT
    assert await world.notifications_about(record.request.request_id) == ["created", "ended"]
    assert await world.events_about(record.request.request_id) == [
        "request.created",
        "request.timed_out",
    ]
    assert await world.service.next_deadline() is None
    assert await world.service.run_deadlines(now=clock.now()) == 0


async def test_a_late_timer_never_overrides_a_human(world: World, clock: ManualClock) -> None:
    record = await world.approved()
    clock.advance(100_000)
    assert await world.service.run_deadlines(now=clock.now()) == 0
    assert (await world.service.get(record.request.request_id)).request.status is RequestStatus.APPROVED


async def test_a_deadline_row_that_outlived_its_request_is_cleared(world: World, clock: ManualClock) -> None:
    record = await world.approved()

    async def put_back(connection: AsyncConnection) -> None:
        row = {"request_id": record.request.request_id, "kind": "expiry", "due_at": clock.now()}
        await connection.execute(deadlines.insert(), row)

    await world.database.write(put_back)
    assert await world.service.run_deadlines(now=clock.now()) == 0
    assert await world.count("deadlines") == 0


async def test_a_deadline_row_earlier_than_its_request_says_ends_nothing(
    world: World, clock: ManualClock
) -> None:
    record = await world.service.submit("agent-1", submission())

    async def hasten(connection: AsyncConnection) -> None:
        await connection.execute(deadlines.update().values(due_at=clock.now()))

    await world.database.write(hasten)
    assert await world.service.run_deadlines(now=clock.now()) == 0
    assert (await world.service.get(record.request.request_id)).request.status is RequestStatus.PENDING


@pytest.mark.parametrize("act", ["decide", "cancel"])
async def test_after_the_deadline_an_act_finds_the_request_timed_out(
    world: World, clock: ManualClock, act: str
) -> None:
    record = await world.service.submit("agent-1", submission(timeout=60))
    request_id = record.request.request_id
    clock.advance(60)
    late = (
        world.service.decide(verdict(record, "alice"))
        if act == "decide"
        else world.service.cancel(request_id, agent="agent-1", person=None, reason=None)
    )
    with pytest.raises(AlreadyEnded, match="TIMEOUT"):
        await late
    assert (await world.service.get(request_id)).request.status is RequestStatus.TIMEOUT


async def test_after_the_deadline_reading_records_the_timeout_without_a_dispatcher(
    world: World, clock: ManualClock
) -> None:
    record = await world.service.submit("agent-1", submission(timeout=60))
    clock.advance(60)
    ended = await world.service.get(record.request.request_id)
    assert ended.request.status is RequestStatus.TIMEOUT
    assert await world.service.run_deadlines(now=clock.now()) == 0


async def test_of_a_decision_and_a_timeout_that_race_one_wins_and_all_are_told_the_same(
    world: World, clock: ManualClock
) -> None:
    winners: set[RequestStatus] = set()
    for attempt in range(12):
        record = await world.service.submit("agent-1", submission(f"print({attempt})", timeout=60))
        due = record.request.expires_at
        acts = [world.service.decide(verdict(record, "alice")), world.service.run_deadlines(now=due)]
        results = await asyncio.gather(
            *(acts if attempt % 2 else reversed(acts)),
            world.service.wait(record.request.request_id, 5),
            return_exceptions=True,
        )
        final = await world.service.get(record.request.request_id)
        winners.add(final.request.status)
        for result in results:
            if isinstance(result, AlreadyEnded):
                result = result.record
            if isinstance(result, RequestRecord):
                assert result == final
        ends = [
            event
            for event in await world.events_about(record.request.request_id)
            if event in {"request.decided", "request.timed_out"}
        ]
        assert len(ends) == 1
    assert winners <= {RequestStatus.APPROVED, RequestStatus.TIMEOUT}


async def test_more_due_requests_than_are_read_at_once_are_all_worked(
    world: World, clock: ManualClock
) -> None:
    await asyncio.gather(
        *(world.service.submit("agent-1", submission(f"print({n})", timeout=60)) for n in range(130))
    )
    clock.advance(60)
    assert await world.service.run_deadlines(now=clock.now()) == 130
