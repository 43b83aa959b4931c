"""An attacker who writes the database as it likes, but does not hold the keys, never gets a token.

The agent `agent-2` is the attacker's. What it wants is a token for a program nobody approved, or to go on
using an approval that was withdrawn, used up or made for somebody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.action import action_digest, canonical_action
from hitl_mcp.approvals.errors import (
    ApprovalError,
    ApprovalExpired,
    NotEligible,
    RequestNotFound,
    Revoked,
    SealBroken,
)
from hitl_mcp.approvals.models import Verdict
from hitl_mcp.errors import HitlError
from hitl_mcp.storage.errors import StoredActionDamaged
from tests.approvals.attacks import Scene, attempt
from tests.approvals.conftest import WorldFactory
from tests.approvals.world import AskSeveral, World, program, submission, verdict
from tests.conftest import ManualClock

EVIL = program("import os; os.system('evil')")


@pytest.fixture
async def scene(world: World, clock: ManualClock) -> Scene:
    approved = await world.approved("agent-1")
    denied = await world.service.submit("agent-1", submission("print('denied')"))
    denied = await world.service.decide(verdict(denied, "bob", Verdict.DENY))
    wanted = await world.service.submit("agent-2", submission("import os; os.system('evil')"))
    return Scene(world, clock, approved, denied, wanted)


async def status_column(scene: Scene) -> None:
    await scene.mark_approved(scene.wanted)


async def invented_decision(scene: Scene) -> None:
    await scene.insert_decision(
        request_id=scene.wanted.request.request_id,
        action_digest=scene.wanted.request.action_digest,
        display_digest=scene.wanted.request.display_digest,
        seal="hmac-sha256:" + "A" * 43,
    )
    await scene.mark_approved(scene.wanted)


async def copied_decision(scene: Scene) -> None:
    await scene.insert_decision(request_id=scene.wanted.request.request_id)
    await scene.mark_approved(scene.wanted)


async def moved_decision(scene: Scene) -> None:
    await scene.sql("UPDATE decisions SET request_id = :id", id=scene.wanted.request.request_id)
    await scene.mark_approved(scene.wanted)


async def turned_denial(scene: Scene) -> None:
    await scene.sql(
        "UPDATE decisions SET verdict = 'approve', request_id = :id WHERE verdict = 'deny'",
        id=scene.wanted.request.request_id,
    )
    await scene.mark_approved(scene.wanted)


async def copied_request_seal(scene: Scene) -> None:
    await scene.sql(
        "UPDATE requests SET seal = :seal, required_approvals = 1 WHERE request_id = :id",
        seal=scene.approved.request.seal,
        id=scene.wanted.request.request_id,
    )
    await copied_decision(scene)


async def copied_audit_entries(scene: Scene) -> None:
    await scene.drop_audit_triggers()
    await scene.sql(
        "INSERT INTO audit_entries "
        "(sequence, chain, at, event, actor, subject, details, previous_hash, entry_hash) "
        "SELECT sequence + 1000, chain, at, event, actor, :id, details, previous_hash, entry_hash "
        "FROM audit_entries WHERE subject = :source",
        id=scene.wanted.request.request_id,
        source=scene.approved.request.request_id,
    )
    await copied_decision(scene)


NOTHING_APPROVED = [
    status_column,
    invented_decision,
    copied_decision,
    moved_decision,
    turned_denial,
    copied_request_seal,
    copied_audit_entries,
]


@pytest.mark.parametrize("attack", NOTHING_APPROVED, ids=lambda each: each.__name__)
async def test_what_nobody_approved_cannot_be_made_approved(
    scene: Scene, attack: Callable[[Scene], Awaitable[None]]
) -> None:
    await attack(scene)
    with pytest.raises(SealBroken):
        await attempt(scene, "agent-2", scene.wanted)


REQUEST_EDITS = {
    "another agent": "agent = 'agent-2'",
    "another rendering": "display_digest = 'sha-256:x'",
    "another justification": "justification = 'harmless'",
    "a smaller risk": "risk_level = 'low'",
    "another policy": "policy = 'anything goes'",
    "a larger quorum": "required_approvals = 2",
    "a weaker channel": "required_assurance = 'session'",
    "a later end": "expires_at = expires_at + 1000000000000",
    "an earlier start": "created_at = created_at - 1",
    "another token id": "token_id = 'tok_other'",
}


@pytest.mark.parametrize("edit", REQUEST_EDITS.values(), ids=REQUEST_EDITS.keys())
async def test_an_edit_of_an_approved_request_makes_it_worthless(scene: Scene, edit: str) -> None:
    await scene.sql(
        f"UPDATE requests SET {edit} WHERE request_id = :id", id=scene.approved.request.request_id
    )
    for agent in ("agent-1", "agent-2"):
        with pytest.raises((SealBroken, RequestNotFound)):
            await attempt(scene, agent, scene.approved)


async def test_an_approval_cannot_be_pointed_at_another_action(scene: Scene) -> None:
    await scene.sql(
        "UPDATE requests SET action_digest = :digest, attachable_digest = NULL WHERE request_id = :id",
        digest=action_digest(EVIL),
        id=scene.approved.request.request_id,
    )
    with pytest.raises(SealBroken):
        await attempt(scene, "agent-1", scene.approved)


async def test_the_bytes_under_an_approved_digest_cannot_be_exchanged(scene: Scene) -> None:
    await scene.sql(
        "UPDATE actions SET canonical = :evil WHERE digest = :digest",
        evil=canonical_action(EVIL),
        digest=scene.approved.request.action_digest,
    )
    with pytest.raises(StoredActionDamaged):
        await attempt(scene, "agent-1", scene.approved)
    with pytest.raises(StoredActionDamaged):
        await scene.world.service.approved_action(scene.approved.request.action_digest)


DECISION_EDITS = {
    "another person": "person = 'bob', person_key = 'bob'",
    "another time": "decided_at = decided_at + 1",
    "another channel": "channel = 'cli'",
    "a stronger channel": "assurance = 'chat'",
    "a condition removed": "conditions = 'none'",
    "another reason": "reason = 'looks fine'",
    "other evidence": "evidence = '{}'",
    "another id": "decision_id = 'dec_x'",
}


@pytest.mark.parametrize("edit", DECISION_EDITS.values(), ids=DECISION_EDITS.keys())
async def test_an_edited_decision_makes_the_approval_worthless(scene: Scene, edit: str) -> None:
    await scene.sql(
        f"UPDATE decisions SET {edit} WHERE request_id = :id", id=scene.approved.request.request_id
    )
    with pytest.raises(SealBroken):
        await attempt(scene, "agent-1", scene.approved)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE requests SET status = 'NONSENSE', version = 9 WHERE request_id = :id",
        "UPDATE requests SET risk_level = 'none' WHERE request_id = :id",
        "UPDATE requests SET metadata = 'no json' WHERE request_id = :id",
        "UPDATE decisions SET assurance = 'absolute' WHERE request_id = :id",
        "UPDATE decisions SET evidence = '[' WHERE request_id = :id",
        "UPDATE decisions SET evidence = '[]' WHERE request_id = :id",
        "UPDATE requests SET required_approvals = 0 WHERE request_id = :id",
    ],
)
async def test_a_row_that_makes_no_sense_gives_no_token_and_a_clear_error(
    scene: Scene, statement: str
) -> None:
    async def operation(connection: AsyncConnection) -> None:
        if scene.world.database.dialect == "sqlite":
            await connection.execute(text("PRAGMA ignore_check_constraints = ON"))
        else:
            await connection.execute(text("ALTER TABLE requests DROP CONSTRAINT ck_requests_status_known"))
            await connection.execute(
                text("ALTER TABLE requests DROP CONSTRAINT ck_requests_required_approvals_not_negative")
            )
        await connection.execute(text(statement), {"id": scene.approved.request.request_id})

    await scene.world.database.write(operation)
    with pytest.raises(HitlError):
        await attempt(scene, "agent-1", scene.approved)


async def test_a_denied_request_cannot_be_made_approved_by_deleting_the_denial(
    database_world: WorldFactory, clock: ManualClock
) -> None:
    world = database_world(AskSeveral(2))
    record = await world.service.submit("agent-1", submission())
    await world.service.decide(verdict(record, "alice"))
    await world.service.decide(verdict(record, "bob", Verdict.DENY))
    scene = Scene(world, clock, record, record, record)
    await scene.sql("DELETE FROM decisions WHERE verdict = 'deny'")
    await scene.sql("UPDATE requests SET status = 'PENDING', decided_at = NULL, ended_by = NULL")
    # The next approver, in good faith, makes the quorum that the denial had ruled out.
    done = await world.service.decide(verdict(record, "carol"))
    with pytest.raises(SealBroken, match="does not prove itself"):
        await attempt(scene, "agent-1", done)


async def test_a_smaller_quorum_written_into_the_request_is_not_believed(
    database_world: WorldFactory, clock: ManualClock
) -> None:
    world = database_world(AskSeveral(2))
    record = await world.service.submit("agent-1", submission())
    await world.service.decide(verdict(record, "alice"))
    scene = Scene(world, clock, record, record, record)
    await scene.mark_approved(record)
    with pytest.raises(SealBroken):
        await attempt(scene, "agent-1", record)
    await scene.sql("UPDATE requests SET required_approvals = 1")
    with pytest.raises(SealBroken):
        await attempt(scene, "agent-1", record)


@pytest.mark.parametrize("end", ["cancelled", "timed out"])
async def test_a_request_that_ended_cannot_be_reopened_for_a_decision(
    world: World, clock: ManualClock, end: str
) -> None:
    record = await world.service.submit("agent-1", submission())
    request_id = record.request.request_id
    if end == "cancelled":
        await world.service.cancel(request_id, agent="agent-1", person=None, reason=None)
    else:
        await world.service.run_deadlines(now=record.request.expires_at)
    scene = Scene(world, clock, record, record, record)
    await scene.sql("UPDATE requests SET status = 'PENDING', decided_at = NULL, ended_by = NULL")
    done = await world.service.decide(verdict(record, "alice"))
    with pytest.raises(SealBroken):
        await attempt(scene, "agent-1", done)


async def test_a_longer_time_to_decide_written_into_a_request_is_noticed_at_the_decision(
    world: World, clock: ManualClock
) -> None:
    record = await world.service.submit("agent-1", submission(timeout=60))
    scene = Scene(world, clock, record, record, record)
    await scene.sql("UPDATE requests SET expires_at = expires_at + 1000000000")
    clock.advance(61)
    with pytest.raises(SealBroken):
        await world.service.decide(verdict(record, "alice"))


async def test_a_forged_earlier_approval_does_not_count_towards_a_quorum(
    database_world: WorldFactory, clock: ManualClock
) -> None:
    world = database_world(AskSeveral(2))
    helper = await world.service.submit("agent-1", submission("print('helper')"))
    await world.service.decide(verdict(helper, "alice"))
    record = await world.service.submit("agent-1", submission())
    scene = Scene(world, clock, helper, helper, record)
    await scene.insert_decision(request_id=record.request.request_id)
    await scene.sql("UPDATE requests SET version = version + 1")
    with pytest.raises(SealBroken):
        await world.service.decide(verdict(record, "bob"))


async def test_a_revocation_cannot_be_taken_back(scene: Scene) -> None:
    await scene.world.service.revoke(scene.approved.request.request_id, person="alice", reason=None)
    await scene.sql("UPDATE requests SET revoked_at = NULL")
    with pytest.raises(Revoked):
        await attempt(scene, "agent-1", scene.approved)


async def test_a_validity_written_into_the_request_is_not_believed(scene: Scene) -> None:
    await scene.sql("UPDATE requests SET valid_until = valid_until + 1000000000000")
    scene.clock.advance(3600)
    with pytest.raises(ApprovalExpired):
        await attempt(scene, "agent-1", scene.approved)


async def test_setting_the_token_id_back_does_not_give_a_second_one(scene: Scene) -> None:
    first = await attempt(scene, "agent-1", scene.approved)
    await scene.sql("UPDATE requests SET token_id = NULL, attachable_digest = NULL")
    second = await attempt(scene, "agent-1", scene.approved)
    assert second.token_id == first.token_id


async def test_a_forged_minting_entry_does_not_lengthen_a_token(scene: Scene) -> None:
    await attempt(scene, "agent-1", scene.approved)
    now = int(scene.clock.now().timestamp())
    await scene.drop_audit_triggers()
    for issued_at, expires_at in [(now, now + 900), (now + 600, now + 900), ("x", "y")]:
        details = f'{{"issued_at": {issued_at!r}, "expires_at": {expires_at!r}}}'.replace("'", '"')
        await scene.sql(
            "UPDATE audit_entries SET details = :details WHERE event = 'token.minted'", details=details
        )
        issued = await attempt(scene, "agent-1", scene.approved)
        assert issued.expires_at.timestamp() <= now + 300


async def test_an_approval_whose_audit_entries_are_gone_is_worthless(scene: Scene) -> None:
    await scene.drop_audit_triggers()
    for event in ("request.decided", "request.created"):
        await scene.sql("DELETE FROM audit_entries WHERE event = :event", event=event)
        with pytest.raises(SealBroken):
            await attempt(scene, "agent-1", scene.approved)


async def test_an_approval_whose_audit_entries_are_unreadable_is_worthless(scene: Scene) -> None:
    await scene.drop_audit_triggers()
    await scene.sql("UPDATE audit_entries SET details = 'rubbish'")
    with pytest.raises(SealBroken):
        await attempt(scene, "agent-1", scene.approved)


async def test_a_suspended_approver_put_back_only_in_the_decision_does_not_count(scene: Scene) -> None:
    scene.world.people.eligible_people.clear()
    with pytest.raises(NotEligible):
        await attempt(scene, "agent-1", scene.approved)


async def test_a_refused_token_is_recorded_once_however_often_it_is_asked_for(scene: Scene) -> None:
    await status_column(scene)
    results = [
        await asyncio.gather(attempt(scene, "agent-2", scene.wanted), return_exceptions=True)
        for _ in range(3)
    ]
    assert all(isinstance(result, ApprovalError) for (result,) in results)
    events = await scene.world.events_about(scene.wanted.request.request_id)
    assert events.count("token.refused") == 1


async def test_with_the_right_key_all_of_this_would_be_a_token(scene: Scene) -> None:
    assert await attempt(scene, "agent-1", scene.approved)
