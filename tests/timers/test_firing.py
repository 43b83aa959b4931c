"""Deadlines in the real stores: what is planned with a request, what firing leaves behind, and races."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.events import DEADLINES_KEY
from hitl_mcp.approvals.models import RequestStatus
from hitl_mcp.approvals.terms import Terms
from hitl_mcp.storage.schema import deadlines
from server_kit.database.base import Database
from tests.approvals.world import World, submission, verdict
from tests.conftest import ManualClock
from tests.timers.asking import HOUR, NIGHT, escalating
from tests.timers.conftest import WorldOn


async def names(world: World) -> list[str]:
    async def operation(connection: AsyncConnection) -> list[str]:
        query = select(deadlines.c.kind).order_by(deadlines.c.kind)
        return list((await connection.execute(query)).scalars())

    return await world.database.read(operation)


async def set_rows(world: World, sql: str, **parameters: object) -> None:
    await world.database.write(lambda connection: connection.execute(text(sql), parameters))


async def test_an_escalation_is_audited_with_its_level_and_told_once(
    world_on: WorldOn, clock: ManualClock
) -> None:
    world = world_on(escalating(60, 120, reminders=(30,)))
    record = await world.service.submit("agent-1", submission(timeout=HOUR))
    request_id = record.request.request_id
    assert await names(world) == ["escalation:1", "escalation:2", "expiry", "reminder:1"]
    for seconds, left in ((29.9, 4), (0.1, 3), (30, 2), (60, 1)):
        clock.advance(seconds)
        for _ in range(2):
            assert await world.service.run_deadlines(now=clock.now()) == 0
        assert len(await names(world)) == left
    assert await world.notifications_about(request_id) == ["created", "reminded", "escalated", "escalated"]
    assert await world.events_about(request_id) == [
        "request.created",
        "request.reminded",
        "request.escalated",
        "request.escalated",
    ]

    async def levels(connection: AsyncConnection) -> list[object]:
        found = await world.ports.audit.about(connection, request_id, ("request.escalated",))
        return [(e.details["level"], e.details["groups"], e.details["people"]) for e in found]

    assert await world.database.read(levels) == [(1, ["level-1"], ["boss-1"]), (2, ["level-2"], ["boss-2"])]
    pending = await world.service.get(request_id)
    assert (pending.request.status, pending.request.version) == (RequestStatus.PENDING, 3)
    approved = await world.service.decide(verdict(pending, "alice"))
    assert approved.request.status is RequestStatus.APPROVED


@pytest.mark.parametrize("end", ["decide", "cancel", "expire"])
async def test_whatever_ends_a_request_takes_all_its_deadlines_with_it(
    world_on: WorldOn, clock: ManualClock, end: str
) -> None:
    world = world_on(escalating(60, reminders=(30, 90)))
    record = await world.service.submit("agent-1", submission(timeout=HOUR))
    if end == "decide":
        await world.service.decide(verdict(record, "alice"))
    elif end == "cancel":
        await world.service.cancel(record.request.request_id, agent="agent-1", person=None, reason=None)
    else:
        clock.advance(HOUR)
        assert await world.service.run_deadlines(now=clock.now()) == 1
    assert await names(world) == []
    told = await world.notifications_about(record.request.request_id)
    clock.advance(2 * HOUR)
    assert await world.service.run_deadlines(now=clock.now()) == 0
    assert await world.notifications_about(record.request.request_id) == told == ["created", "ended"]


async def test_after_a_night_without_a_server_all_that_is_late_fires_once_and_in_order(
    world_on: WorldOn, clock: ManualClock
) -> None:
    world = world_on(escalating(60, 120, reminders=(30, 90)))
    record = await world.service.submit("agent-1", submission(timeout=HOUR))
    clock.advance(1800)
    assert await world.service.run_deadlines(now=clock.now()) == 0
    events = await world.events_about(record.request.request_id)
    assert sorted(events[1:]) == ["request.escalated"] * 2 + ["request.reminded"] * 2
    assert await names(world) == ["expiry"]


async def test_quiet_hours_hold_the_call_and_not_the_escalation(
    world_on: WorldOn, clock: ManualClock
) -> None:
    clock.advance((datetime(2030, 6, 3, 21, tzinfo=UTC) - clock.now()).total_seconds())
    world = world_on(escalating(60, reminders=(120,), quiet_hours=NIGHT))
    record = await world.service.submit("agent-1", submission(timeout=24 * HOUR))
    request_id = record.request.request_id
    clock.advance(300)
    await world.service.run_deadlines(now=clock.now())
    assert await world.notifications_about(request_id) == ["created", "changed"]
    assert (await world.service.next_deadline()) == datetime(2030, 6, 4, 5, tzinfo=UTC)
    clock.advance(8 * HOUR)
    await world.service.run_deadlines(now=clock.now())
    assert await world.notifications_about(request_id) == ["created", "changed", "reminded"]


async def test_of_many_workers_of_the_same_deadlines_each_has_one_effect(
    world_on: WorldOn, clock: ManualClock
) -> None:
    terms = escalating(60, 61, reminders=(62, 63))
    worlds = [world_on(terms) for _ in range(3)]
    records = [
        await worlds[0].service.submit("agent-1", submission(f"print({n})", timeout=HOUR)) for n in range(12)
    ]
    clock.advance(600)
    await asyncio.gather(*(each.service.run_deadlines(now=clock.now()) for each in worlds for _ in range(2)))
    for record in records:
        told = await worlds[0].notifications_about(record.request.request_id)
        assert sorted(told) == ["created", "escalated", "escalated", "reminded", "reminded"]
    clock.advance(HOUR)
    ended = await asyncio.gather(*(each.service.run_deadlines(now=clock.now()) for each in worlds))
    assert sum(ended) == len(records)


async def test_a_decision_and_an_escalation_at_once_both_stand_and_nobody_is_called_after_the_end(
    world_on: WorldOn, clock: ManualClock
) -> None:
    world = world_on(escalating(60))
    for attempt in range(10):
        record = await world.service.submit("agent-1", submission(f"print({attempt})", timeout=HOUR))
        clock.advance(60)
        acts = [
            world.service.decide(verdict(record, "alice")),
            world.service.run_deadlines(now=clock.now()),
        ]
        await asyncio.gather(*(acts if attempt % 2 else reversed(acts)))
        told = await world.notifications_about(record.request.request_id)
        assert told in (["created", "ended"], ["created", "escalated", "ended"])
        assert await names(world) == []


async def test_rows_that_were_tampered_with_do_nothing_that_the_terms_do_not_say(
    world_on: WorldOn, clock: ManualClock
) -> None:
    world = world_on(escalating(600))
    record = await world.service.submit("agent-1", submission(timeout=HOUR))
    request_id = record.request.request_id
    await set_rows(world, "UPDATE deadlines SET due_at = 0")
    for name in ("escalation:2", "approve:1", "quiet-end:1", "reminder:77"):
        await set_rows(
            world,
            "INSERT INTO deadlines (request_id, kind, due_at) VALUES (:id, :name, 0)",
            id=request_id,
            name=name,
        )
    assert await world.service.run_deadlines(now=clock.now()) == 0
    assert await world.events_about(request_id) == ["request.created"]
    assert await names(world) == ["escalation:1", "expiry"]
    assert await world.service.next_deadline() == clock.now() + timedelta(seconds=600)
    clock.advance(HOUR)
    assert await world.service.run_deadlines(now=clock.now()) == 1


async def test_a_damaged_request_is_tried_again_later_and_holds_up_no_other(
    world_on: WorldOn, clock: ManualClock
) -> None:
    world = world_on(Terms())
    damaged = await world.service.submit("agent-1", submission("print(1)", timeout=60))
    sound = await world.service.submit("agent-1", submission("print(2)", timeout=60))
    await set_rows(
        world, "UPDATE requests SET metadata = '7' WHERE request_id = :id", id=damaged.request.request_id
    )
    clock.advance(60)
    assert await world.service.run_deadlines(now=clock.now()) == 1
    assert (await world.service.get(sound.request.request_id)).request.status is RequestStatus.TIMEOUT
    assert await world.service.next_deadline() == clock.now() + timedelta(seconds=1)
    clock.advance(1)
    assert await world.service.run_deadlines(now=clock.now()) == 0
    assert await world.service.next_deadline() == clock.now() + timedelta(seconds=2)
    await set_rows(world, "UPDATE requests SET metadata = '{}'")
    clock.advance(2)
    assert await world.service.run_deadlines(now=clock.now()) == 1


async def test_many_that_expire_at_one_instant_end_once_each_with_two_workers_and_a_damaged_one_among_them(
    world_on: WorldOn, clock: ManualClock
) -> None:
    world = world_on(Terms())
    records = await asyncio.gather(
        *(world.service.submit("agent-1", submission(f"print({n})", timeout=60)) for n in range(40))
    )
    damaged, *sound = [each.request.request_id for each in records]
    await set_rows(world, "UPDATE requests SET metadata = '7' WHERE request_id = :id", id=damaged)
    clock.advance(60)
    ended = await asyncio.gather(*(world.service.run_deadlines(now=clock.now()) for _ in range(2)))
    assert sum(ended) == len(sound)
    for request_id in sound:
        assert await world.events_about(request_id) == ["request.created", "request.timed_out"]
        assert await world.notifications_about(request_id) == ["created", "ended"]
    assert await names(world) == ["expiry"]
    assert await world.service.next_deadline() == clock.now() + timedelta(seconds=1)


async def test_workers_are_woken_by_a_deadline_that_is_due_before_they_ask_again_and_by_no_other(
    world_on: WorldOn, database: Database
) -> None:
    world = world_on(Terms())
    async with database.changes.watch(DEADLINES_KEY) as watch:
        for timeout, woken in ((600, False), (30, True), (31, False), (10, True)):
            # A listening connection says what the process heard from itself already.
            while await watch.wait(0.3):
                pass
            await world.service.submit("agent-1", submission(f"print({timeout})", timeout=timeout))
            assert await watch.wait(2 if woken else 0.2) is woken


async def test_the_deadlines_of_a_request_and_the_request_are_stored_together_or_not_at_all(
    world_on: WorldOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_on(escalating(60))

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the audit entry cannot be written")

    monkeypatch.setattr(world.ports.audit, "append", broken)
    with pytest.raises(RuntimeError):
        await world.service.submit("agent-1", submission())
    assert await names(world) == []
    assert await world.count("requests") == 0


async def test_new_terms_replace_what_is_still_to_come(world_on: WorldOn, clock: ManualClock) -> None:
    world = world_on(escalating(60, 600, reminders=(30, 900)))
    record = await world.service.submit("agent-1", submission(timeout=HOUR))
    clock.advance(90)
    await world.service.run_deadlines(now=clock.now())
    edited = replace((await world.service.get(record.request.request_id)).request, terms=escalating(30, 300))

    async def again(connection: AsyncConnection) -> None:
        await world.service._submissions._recorder.plan_deadlines(connection, edited)  # pyright: ignore[reportPrivateUsage]

    await world.database.write(again)
    assert await names(world) == ["escalation:2", "expiry"]
    assert await world.service.next_deadline() == record.request.created_at + timedelta(seconds=300)
