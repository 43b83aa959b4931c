"""Collecting tokens: one id for life, within the approval's validity, by people who still may."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.action import canonical_action
from hitl_contract.audit_chain import AuditEntry
from hitl_contract.verify import verify_capability
from hitl_mcp.approvals.errors import (
    ActionNotFound,
    ApprovalExpired,
    NotEligible,
)
from tests.approvals.world import World, program, submission, verdict
from tests.conftest import ManualClock


async def test_a_token_collected_while_the_first_is_fresh_is_the_same_and_not_audited_again(
    world: World, clock: ManualClock
) -> None:
    record = await world.approved()
    first = await world.service.collect_token("agent-1", record.request.request_id)
    clock.advance(200)
    assert await world.service.collect_token("agent-1", record.request.request_id) == first
    assert (await world.events_about(record.request.request_id)).count("token.minted") == 1


async def test_a_token_collected_after_the_first_expired_is_new_with_the_same_id(
    world: World, clock: ManualClock
) -> None:
    record = await world.approved()
    first = await world.service.collect_token("agent-1", record.request.request_id)
    clock.advance(301)
    second = await world.service.collect_token("agent-1", record.request.request_id)
    assert second.token != first.token
    assert second.token_id == first.token_id
    assert second.expires_at > first.expires_at
    assert (await world.events_about(record.request.request_id)).count("token.minted") == 2


async def test_a_token_never_outlives_its_approval(world: World, clock: ManualClock) -> None:
    record = await world.approved()
    assert record.request.valid_until is not None
    clock.advance(3600 - 100)
    issued = await world.service.collect_token("agent-1", record.request.request_id)
    assert issued.expires_at == record.request.valid_until
    clock.advance(99.5)
    assert await world.service.collect_token("agent-1", record.request.request_id)
    clock.advance(0.5)
    with pytest.raises(ApprovalExpired):
        await world.service.collect_token("agent-1", record.request.request_id)


async def test_a_token_id_survives_a_rotation_of_the_signing_key(world: World, clock: ManualClock) -> None:
    record = await world.approved()
    first = await world.service.collect_token("agent-1", record.request.request_id)
    world.keys.rotate()
    second = await world.service.collect_token("agent-1", record.request.request_id)
    assert second.token_id == first.token_id
    for issued in (first, second):
        verify_capability(
            issued.token,
            program(),
            keys=world.keys.public_keys(),
            policy=world.verification,
            now=clock.now().timestamp(),
        )


async def test_an_approver_who_lost_the_right_to_decide_no_longer_counts_at_minting(world: World) -> None:
    record = await world.approved()
    world.people.eligible_people.discard("alice")
    with pytest.raises(NotEligible, match="may still decide"):
        await world.service.collect_token("agent-1", record.request.request_id)


async def test_collecting_at_once_from_many_sides_gives_one_token(world: World) -> None:
    record = await world.approved()
    issued = await asyncio.gather(
        *(world.service.collect_token("agent-1", record.request.request_id) for _ in range(20))
    )
    assert len({each.token for each in issued}) == 1
    assert (await world.events_about(record.request.request_id)).count("token.minted") == 1


async def test_the_approved_action_is_found_by_its_digest(world: World) -> None:
    record = await world.approved()
    canonical = await world.service.approved_action(record.request.action_digest)
    assert canonical == canonical_action(program())
    with pytest.raises(ActionNotFound):
        await world.service.approved_action("sha-256:unknown")


async def test_asking_again_often_makes_collecting_no_dearer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await world.service.submit("builder", submission())
    for number in range(50):
        await world.service.submit("builder", submission(key=f"key {number}"))
    request_id = asked.request.request_id
    assert len(await world.events_about(request_id)) == 51
    await world.service.decide(verdict(asked, "alice"))
    read: list[int] = []
    about = world.ports.audit.about

    async def counting(
        connection: AsyncConnection, subject: str, events: Collection[str] | None = None
    ) -> Sequence[AuditEntry]:
        found = await about(connection, subject, events)
        read.append(len(found))
        return found

    monkeypatch.setattr(world.ports.audit, "about", counting)
    assert (await world.service.collect_token("builder", request_id)).token
    assert max(read) == 2
