"""The measure as it is read from the tables of requests, decisions and notifications."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.models import RequestRecord, Verdict
from hitl_mcp.attention.measure import Attention, ReadingSpeed
from hitl_mcp.attention.records import AttentionRecords
from hitl_mcp.storage.schema import outbox
from tests.approvals.world import World, submission, verdict
from tests.attention.drilling import filed


def records(world: World) -> AttentionRecords:
    return AttentionRecords(world.database, world.clock, ReadingSpeed(600, 3))


async def of(world: World, person: str, days: int = 30) -> Attention:
    (found,) = (await records(world).report(days=days, person=person)).people
    return found


async def told_at(world: World, record: RequestRecord, at: datetime) -> None:
    async def operation(connection: AsyncConnection) -> None:
        of_it = outbox.c.request_id == record.request.request_id
        await connection.execute(update(outbox).where(of_it).values(delivered_at=at))

    await world.database.write(operation)


async def test_the_time_runs_from_the_request_without_anything_better(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    world.clock.advance(40)  # type: ignore[attr-defined]
    await world.service.decide(verdict(record, "alice"))
    alice = await of(world, "ALICE")
    assert (alice.person, alice.decided, alice.approved, alice.hasty) == ("alice", 1, 1, 0)
    assert (alice.seconds_p50, alice.seconds_p90) == (40, 40)


async def test_the_time_runs_from_when_the_page_was_first_seen(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    world.clock.advance(40)  # type: ignore[attr-defined]
    seen = world.clock.now() - timedelta(seconds=2)
    await world.service.decide(replace(verdict(record, "alice"), first_seen_at=seen))
    alice = await of(world, "alice")
    assert (alice.seconds_p50, alice.hasty) == (2, 1)


async def test_the_time_runs_from_when_the_channel_told_people(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    world.clock.advance(40)  # type: ignore[attr-defined]
    await told_at(world, record, world.clock.now() - timedelta(seconds=5))
    await world.service.decide(verdict(record, "alice", channel="c"))
    assert (await of(world, "alice")).seconds_p50 == 5
    # Over another channel, or told only afterwards, it says nothing.
    other = await world.service.submit("agent-1", submission("print(2)"))
    world.clock.advance(7)  # type: ignore[attr-defined]
    await told_at(world, other, world.clock.now())
    await world.service.decide(verdict(other, "bob", channel="web"))
    assert (await of(world, "bob")).seconds_p50 == 7


async def test_what_was_to_be_read_is_the_action_with_the_reasons_for_it(world: World) -> None:
    for number, words in enumerate((10, 650)):
        record = await world.service.submit(
            "agent-1", submission(f"print({number})", justification="words " * words)
        )
        world.clock.advance(30)  # type: ignore[attr-defined]
        await world.service.decide(verdict(record, "alice"))
    # 650 words take longer than a minute.
    assert (await of(world, "alice")).hasty == 1


async def test_drills_are_counted_and_questions_are_not(world: World) -> None:
    await world.service.decide(verdict(await filed(world.service, world.database), "alice"))
    await world.service.decide(verdict(await filed(world.service, world.database), "alice", Verdict.DENY))
    withdrawn = await filed(world.service, world.database)
    await world.service.cancel(withdrawn.request.request_id, agent=None, person="bob", reason=None)
    pending = await filed(world.service, world.database)
    report = await records(world).report()
    assert [(each.person, each.decided) for each in report.people] == [("alice", 0), ("bob", 0)]
    alice, bob = report.people
    assert (alice.canaries_caught, alice.canaries_missed) == (1, 1)
    assert (bob.canaries_caught, bob.canaries_missed) == (1, 0)
    assert pending.request.drill_notice is None


async def test_what_is_older_than_the_window_does_not_count(world: World) -> None:
    await world.approved()
    world.clock.advance(8 * 86400)  # type: ignore[attr-defined]
    assert (await records(world).report(days=7)).people == ()
    assert (await of(world, "alice", days=9)).decided == 1
    assert (await records(world).report(days=9, person="nobody")).people == ()
