"""Asking again: no second request, no second notification."""

from __future__ import annotations

import asyncio

import pytest

from hitl_mcp.approvals.errors import (
    IdempotencyKeyReused,
)
from hitl_mcp.approvals.models import RequestStatus, Verdict
from tests.approvals.world import World, submission, verdict
from tests.conftest import ManualClock


async def test_with_the_same_key_finds_the_same_request_and_notifies_nobody_again(world: World) -> None:
    first = await world.service.submit("agent-1", submission(key="k"))
    second = await world.service.submit("agent-1", submission(key="k", justification="in other words"))
    assert second == first
    assert await world.notifications_about(first.request.request_id) == ["created"]


async def test_with_the_same_key_after_the_end_still_finds_that_request(world: World) -> None:
    first = await world.service.submit("agent-1", submission(key="k"))
    await world.service.decide(verdict(first, "alice", Verdict.DENY))
    again = await world.service.submit("agent-1", submission(key="k"))
    assert again.request.request_id == first.request.request_id
    assert again.request.status is RequestStatus.DENIED


async def test_with_the_same_key_for_another_action_is_an_error(world: World) -> None:
    first = await world.service.submit("agent-1", submission(key="k"))
    with pytest.raises(IdempotencyKeyReused, match=first.request.request_id):
        await world.service.submit("agent-1", submission("print(2)", key="k"))
    assert await world.count("requests") == 1


async def test_keys_of_different_agents_have_nothing_to_do_with_each_other(world: World) -> None:
    first = await world.service.submit("agent-1", submission(key="k"))
    second = await world.service.submit("agent-2", submission("print(2)", key="k"))
    assert first.request.request_id != second.request.request_id


async def test_for_the_same_pending_action_attaches_with_or_without_a_key(world: World) -> None:
    first = await world.service.submit("agent-1", submission())
    assert await world.service.submit("agent-1", submission()) == first
    assert await world.service.submit("agent-1", submission(key="late")) == first
    await world.service.decide(verdict(first, "alice", Verdict.DENY))
    again = await world.service.submit("agent-1", submission(key="late"))
    assert again.request.request_id == first.request.request_id
    assert await world.notifications_about(first.request.request_id) == ["created", "ended"]


async def test_for_an_approval_not_yet_collected_attaches_to_it(world: World) -> None:
    record = await world.approved()
    assert await world.service.submit("agent-1", submission()) == record


async def test_after_the_token_was_collected_is_a_new_request(world: World) -> None:
    record = await world.approved()
    await world.service.collect_token("agent-1", record.request.request_id)
    again = await world.service.submit("agent-1", submission())
    assert again.request.request_id != record.request.request_id


@pytest.mark.parametrize("end", ["denied", "cancelled", "revoked", "timed out", "lapsed"])
async def test_after_the_end_is_a_new_request(world: World, clock: ManualClock, end: str) -> None:
    record = await world.service.submit("agent-1", submission())
    request_id = record.request.request_id
    match end:
        case "denied":
            await world.service.decide(verdict(record, "alice", Verdict.DENY))
        case "cancelled":
            await world.service.cancel(request_id, agent="agent-1", person=None, reason=None)
        case "revoked":
            await world.service.decide(verdict(record, "alice"))
            await world.service.revoke(request_id, person="alice", reason=None)
        case "timed out":
            clock.advance(3600)
        case _:
            await world.service.decide(verdict(record, "alice"))
            clock.advance(3600)
    again = await world.service.submit("agent-1", submission())
    assert again.request.request_id != request_id
    assert again.request.status is RequestStatus.PENDING
    if end == "timed out":
        assert (await world.service.get(request_id)).request.status is RequestStatus.TIMEOUT


async def test_from_another_agent_is_a_request_of_its_own(world: World) -> None:
    first = await world.service.submit("agent-1", submission())
    second = await world.service.submit("agent-2", submission())
    assert first.request.request_id != second.request.request_id


async def test_twenty_times_at_once_makes_one_request_and_one_notification(world: World) -> None:
    records = await asyncio.gather(
        *(world.service.submit("agent-1", submission(key=f"k{n % 3}")) for n in range(20))
    )
    assert len({record.request.request_id for record in records}) == 1
    assert await world.notifications_about(records[0].request.request_id) == ["created"]
    assert await world.count("requests") == 1
