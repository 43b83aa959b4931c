"""Somebody who owns the database changes rulings, terms, wordings and capacities: no token comes of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.action import action_digest
from hitl_mcp.approvals.errors import ApprovalError, NotApproved, SealBroken
from hitl_mcp.approvals.models import RequestRecord, RequestStatus, Verdict
from hitl_mcp.approvals.terms import OnTimeout
from hitl_mcp.storage.errors import StoredRowDamaged
from server_kit.database.base import Database
from tests.approvals.attacks import Scene
from tests.approvals.rules import GroupedPeople, RuleByWord, asking, edit, stage
from tests.approvals.world import World, create_schema, program, submission, verdict
from tests.conftest import ManualClock

STRICT = asking(stage(security=1), stage(platform=1), reason_required=True, minimum_review_seconds=5)


@pytest_asyncio.fixture
async def scene(database: Database, clock: ManualClock, tmp_path: Path) -> Scene:
    """`approved`: edited once, then approved on strict terms. `denied` by a rule. `wanted` is pending."""
    await create_schema(database)
    policy = RuleByWord(
        STRICT,
        {
            "easy": asking(),
            "unsafe": asking(on_timeout=OnTimeout.UNSAFE_AUTO_APPROVE, timeout_seconds=100),
        },
    )
    people = GroupedPeople({"alice": {"security"}, "bob": {"platform"}, "carol": {"platform"}})
    world = World(database, clock, tmp_path, policy, groups=people)
    record = await world.service.submit("agent-1", submission("first"))
    record = await world.service.edit(edit(record, "alice", program("second"), reason="shorter"))
    clock.advance(5)
    for person in ("alice", "bob"):
        record = await world.service.decide(verdict(record, person, reason="good"))
    assert record.request.status is RequestStatus.APPROVED
    denied = await world.service.submit("agent-1", submission("denied"))
    wanted = await world.service.submit("agent-1", submission("third"))
    return Scene(world, clock, record, denied, wanted)


async def refused(scene: Scene, record: RequestRecord) -> ApprovalError | StoredRowDamaged:
    """What a process that has nothing cached says to the agent."""
    fresh = World(scene.world.database, scene.clock, scene.world.home, groups=scene.world.groups)
    with pytest.raises((ApprovalError, StoredRowDamaged)) as caught:
        await fresh.service.collect_token("agent-1", record.request.request_id)
    return caught.value


@asynccontextmanager
async def put_back(scene: Scene, table: str) -> AsyncGenerator[None]:
    """Undo afterwards whatever happened to the rows of the approved request in this table."""
    request_id = scene.approved.request.request_id

    async def rows(connection: AsyncConnection) -> list[dict[str, object]]:
        found = await connection.execute(
            text(f"SELECT * FROM {table} WHERE request_id = :id"), {"id": request_id}
        )
        return [dict(row) for row in found.mappings()]

    before = await scene.world.database.read(rows)
    yield
    if table == "requests":
        assignments = ", ".join(f"{name} = :{name}" for name in before[0])
        await scene.sql(f"UPDATE requests SET {assignments} WHERE request_id = :request_id", **before[0])
        return
    await scene.sql(f"DELETE FROM {table} WHERE request_id = :id", id=request_id)
    for row in before:
        columns = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join(f":{name}" for name in row)
        await scene.sql(f"INSERT INTO {table} ({columns}) VALUES ({marks})", **row)


async def test_the_approval_that_the_attacks_start_from_gives_a_token(scene: Scene) -> None:
    assert await scene.world.service.collect_token("agent-1", scene.approved.request.request_id)


REQUEST_EDITS = [
    "kind = 'question'",
    "verdict = 'allow'",
    "explanation = 'fine'",
    "terms = '{}'",
    "terms = '{\"stages\":[]}'",
    "assessment = NULL",
    'assessment = \'{"level":"low"}\'',
    "revision = 2",
    "revision = 0",
    "proposed_digest = NULL",
    "proposed_digest = action_digest",
    "seal_format = 1",
    "seal_format = 3",
    "terms = '['",
]


async def test_a_changed_ruling_makes_an_approval_worthless(scene: Scene) -> None:
    request_id = scene.approved.request.request_id
    for change in REQUEST_EDITS:
        async with put_back(scene, "requests"):
            await scene.sql(f"UPDATE requests SET {change} WHERE request_id = :id", id=request_id)
            assert isinstance(await refused(scene, scene.approved), SealBroken | StoredRowDamaged), change
    assert await scene.world.service.collect_token("agent-1", request_id)


DECISION_EDITS = [
    "revision = 0",
    "stage = 1 - stage",
    'acted_as = \'{"acting_for":[],"groups":["platform","security"]}\'',
    ('acted_as = \'{"acting_for":[{"delegation":"d","groups":["security"],"person":"eve"}],"groups":[]}\''),
    "reviewed_from = reviewed_from - 1",
    "reviewed_from = NULL",
    "seal_format = 1",
    "acted_as = 'x'",
]


async def test_a_changed_capacity_makes_an_approval_worthless(scene: Scene) -> None:
    for change in DECISION_EDITS:
        async with put_back(scene, "decisions"):
            await scene.sql(f"UPDATE decisions SET {change} WHERE person = 'alice'")
            assert isinstance(await refused(scene, scene.approved), SealBroken | StoredRowDamaged), change
    assert await scene.world.service.collect_token("agent-1", scene.approved.request.request_id)


REVISION_EDITS = [
    "UPDATE revisions SET editor = 'bob' WHERE revision = 1",
    "UPDATE revisions SET reason = 'x' WHERE revision = 1",
    'UPDATE revisions SET "at" = "at" - 1 WHERE revision = 1',
    "UPDATE revisions SET display_digest = 'x' WHERE revision = 1",
    "UPDATE revisions SET display_digest = 'x' WHERE revision = 0",
    "DELETE FROM revisions WHERE revision = 0",
    "DELETE FROM revisions WHERE revision = 1",
    "DELETE FROM revisions",
]


async def test_a_changed_revision_makes_an_approval_worthless(scene: Scene) -> None:
    for statement in REVISION_EDITS:
        async with put_back(scene, "revisions"):
            await scene.sql(statement)
            assert isinstance(await refused(scene, scene.approved), SealBroken), statement
    assert await scene.world.service.collect_token("agent-1", scene.approved.request.request_id)


async def test_the_wider_wording_cannot_be_put_back_under_the_approval(scene: Scene) -> None:
    """The genuine row of before the edit, with the genuine approvals of after it."""
    world = scene.world
    record = await world.service.submit("agent-1", submission("easy and wide"))
    request_id = record.request.request_id
    columns = (
        "action_digest, display_digest, policy, explanation, terms, assessment, revision, proposed_digest, "
        "seal"
    )

    async def row(connection: AsyncConnection) -> dict[str, object]:
        found = await connection.execute(
            text(f"SELECT {columns} FROM requests WHERE request_id = :id"), {"id": request_id}
        )
        return dict(found.mappings().one())

    before = await world.database.read(row)
    edited = await world.service.edit(edit(record, "alice", program("easy")))
    await world.service.decide(verdict(edited, "bob"))
    assignments = ", ".join(f"{name} = :{name}" for name in before)
    await scene.sql(f"UPDATE requests SET {assignments} WHERE request_id = :id", id=request_id, **before)
    assert isinstance(await refused(scene, record), SealBroken)
    await scene.sql("DELETE FROM revisions WHERE request_id = :id", id=request_id)
    assert isinstance(await refused(scene, record), SealBroken)


async def forged_entry(scene: Scene, record: RequestRecord, event: str) -> None:
    await scene.drop_audit_triggers()
    await scene.sql(
        "INSERT INTO audit_entries "
        "(sequence, chain, at, event, actor, subject, details, previous_hash, entry_hash) "
        "SELECT 9999, chain, at, :event, actor, subject, details, previous_hash, entry_hash "
        "FROM audit_entries WHERE subject = :id AND event = 'request.created'",
        event=event,
        id=record.request.request_id,
    )


async def test_what_a_rule_asks_or_denies_cannot_be_made_what_a_rule_allows(scene: Scene) -> None:
    for record in (scene.wanted, scene.denied):
        await forged_entry(scene, record, "request.allowed_by_rule")
        await scene.mark_approved(record)
        assert isinstance(await refused(scene, record), SealBroken)
        await scene.sql(
            "UPDATE requests SET verdict = 'allow' WHERE request_id = :id", id=record.request.request_id
        )
        assert isinstance(await refused(scene, record), SealBroken)
        await scene.sql("DELETE FROM audit_entries WHERE sequence = 9999")


async def test_an_allowance_cannot_be_moved_to_another_request(scene: Scene) -> None:
    allowed = await scene.world.service.submit("agent-1", submission("allowed"))
    await scene.sql(
        "UPDATE requests SET verdict = 'allow', terms = :terms, seal = :seal, policy = :policy, "
        "required_approvals = 0 WHERE request_id = :id",
        terms='{"stages":[]}',
        seal=allowed.request.seal,
        policy=allowed.request.policy,
        id=scene.wanted.request.request_id,
    )
    await scene.mark_approved(scene.wanted)
    assert isinstance(await refused(scene, scene.wanted), SealBroken)
    await scene.sql(
        "UPDATE requests SET action_digest = :digest WHERE request_id = :id",
        digest=action_digest(program("third")),
        id=allowed.request.request_id,
    )
    assert isinstance(await refused(scene, allowed), SealBroken)


async def test_silence_approves_nothing_before_its_time_nor_on_other_terms(scene: Scene) -> None:
    unsafe = await scene.world.service.submit("agent-1", submission("unsafe"))
    for record in (unsafe, scene.wanted):
        await forged_entry(scene, record, "request.unsafely_approved_by_timeout")
        await scene.mark_approved(record)
        assert isinstance(await refused(scene, record), SealBroken)
        await scene.sql("DELETE FROM audit_entries WHERE sequence = 9999")


async def test_terms_changed_while_a_request_is_pending_refuse_every_decision(scene: Scene) -> None:
    await scene.sql(
        "UPDATE requests SET terms = '{}' WHERE request_id = :id", id=scene.wanted.request.request_id
    )
    for given in Verdict:
        with pytest.raises(SealBroken):
            await scene.world.service.decide(verdict(scene.wanted, "alice", given, reason="r"))
    with pytest.raises(SealBroken):
        await scene.world.service.edit(edit(scene.wanted, "alice", program("x"), reason="r"))
    assert isinstance(await refused(scene, scene.wanted), NotApproved | SealBroken)
