"""The life of a request through the service, on both databases."""

from __future__ import annotations

import pytest

from hitl_contract.verify import verify_capability
from hitl_mcp.approvals.errors import (
    NotApproved,
)
from hitl_mcp.approvals.models import RequestStatus, Verdict
from tests.approvals.world import World, program, submission, verdict
from tests.conftest import ManualClock


async def test_a_submitted_request_is_stored_audited_and_announced_in_one_act(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    again = await world.service.get(record.request.request_id)
    assert again == record
    assert again.request.status is RequestStatus.PENDING
    assert await world.events_about(record.request.request_id) == ["request.created"]
    assert await world.notifications_about(record.request.request_id) == ["created"]


async def test_an_approved_request_gives_a_token_that_the_executor_accepts(
    world: World, clock: ManualClock
) -> None:
    record = await world.approved()
    assert record.request.status is RequestStatus.APPROVED
    issued = await world.service.collect_token("agent-1", record.request.request_id)
    verified = verify_capability(
        issued.token,
        program(),
        keys=world.keys.public_keys(),
        policy=world.verification,
        now=clock.now().timestamp(),
    )
    claims = verified.token.claims
    assert claims.token_id == issued.token_id
    assert claims.request_id == record.request.request_id
    assert [each.person for each in claims.approved_by] == ["alice"]
    assert await world.events_about(record.request.request_id) == [
        "request.created",
        "request.decided",
        "token.minted",
    ]


async def test_a_denial_ends_a_request_and_there_is_no_token(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    ended = await world.service.decide(verdict(record, "alice", Verdict.DENY, reason="no"))
    assert ended.request.status is RequestStatus.DENIED
    assert (ended.request.ended_by, ended.request.ended_reason) == ("alice", "no")
    with pytest.raises(NotApproved):
        await world.service.collect_token("agent-1", record.request.request_id)
