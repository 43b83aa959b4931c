"""Lists of requests."""

from __future__ import annotations

import pytest

from hitl_mcp.approvals.errors import (
    InvalidCursor,
    InvalidSubmission,
)
from hitl_mcp.approvals.models import RequestStatus
from tests.approvals.world import World, submission
from tests.conftest import ManualClock


async def test_pages_hold_every_request_once_newest_first(world: World, clock: ManualClock) -> None:
    made: list[str] = []
    for number in range(7):
        made.append((await world.approved(code=f"print({number})")).request.request_id)
        clock.advance(number % 2)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await world.service.list_for_agent("agent-1", status=None, limit=3, cursor=cursor)
        assert len(page.records) <= 3
        seen += [record.request.request_id for record in page.records]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    whole = await world.service.list_for_people(status=RequestStatus.APPROVED, limit=100, cursor=None)
    assert [record.request.request_id for record in whole.records] == seen
    assert all(record.decisions for record in whole.records)


async def test_an_agent_sees_its_own_requests_and_people_see_all(world: World) -> None:
    await world.service.submit("agent-1", submission())
    await world.service.submit("agent-2", submission())
    mine = await world.service.list_for_agent("agent-1", status=None, limit=10, cursor=None)
    assert [record.request.agent for record in mine.records] == ["agent-1"]
    everything = await world.service.list_for_people(status=RequestStatus.PENDING, limit=10, cursor=None)
    assert len(everything.records) == 2
    nothing = await world.service.list_for_people(status=RequestStatus.DENIED, limit=10, cursor=None)
    assert nothing.records == ()


@pytest.mark.parametrize(
    "cursor", ["", "x", "e30", "WzEsMl0", "bm90IGpzb24", "A" * 500, "é", "WzEsIlx1MDAwMCJd"]
)
async def test_a_cursor_that_was_not_given_out_is_refused(world: World, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        await world.service.list_for_people(status=None, limit=10, cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 101])
async def test_a_limit_outside_the_bounds_is_refused(world: World, limit: int) -> None:
    with pytest.raises(InvalidSubmission, match="1 to 100"):
        await world.service.list_for_people(status=None, limit=limit, cursor=None)
