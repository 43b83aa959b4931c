"""When the audit entry cannot be written, the act does not happen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.keys import PublicKeys
from hitl_mcp.approvals.models import RequestRecord, Verdict
from server_kit.errors import AuditUnavailable
from tests.approvals.world import World, submission, verdict
from tests.conftest import ManualClock

TABLES = ["requests", "actions", "decisions", "deadlines", "outbox", "idempotency_keys", "audit_entries"]

REFUSE = {
    "sqlite": [
        "CREATE TRIGGER full BEFORE INSERT ON audit_entries BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'disk full'; END $$",
        "CREATE TRIGGER full_disk BEFORE INSERT ON audit_entries FOR EACH ROW EXECUTE FUNCTION full_disk()",
    ],
}


async def refuse_audit_entries(world: World) -> None:
    async def operation(connection: AsyncConnection) -> None:
        for statement in REFUSE[world.database.dialect]:
            await connection.execute(text(statement))

    await world.database.write(operation)


async def everything(world: World) -> dict[str, list[tuple[object, ...]]]:
    async def operation(connection: AsyncConnection) -> dict[str, list[tuple[object, ...]]]:
        return {
            table: sorted(
                (tuple(row) for row in await connection.execute(text(f"SELECT * FROM {table}"))), key=repr
            )
            for table in TABLES
        }

    return await world.database.read(operation)


async def submit(world: World, pending: RequestRecord, approved: RequestRecord) -> object:
    return await world.service.submit("agent-1", submission("print('new')", key="k"))


async def attach(world: World, pending: RequestRecord, approved: RequestRecord) -> object:
    return await world.service.submit("agent-1", submission("print('pending')", key="k"))


async def approve(world: World, pending: RequestRecord, approved: RequestRecord) -> object:
    return await world.service.decide(verdict(pending, "alice"))


async def deny(world: World, pending: RequestRecord, approved: RequestRecord) -> object:
    return await world.service.decide(verdict(pending, "alice", Verdict.DENY))


async def decide_without_right(world: World, pending: RequestRecord, approved: RequestRecord) -> object:
    return await world.service.decide(verdict(pending, "mallory"))


async def cancel(world: World, pending: RequestRecord, approved: RequestRecord) -> object:
    return await world.service.cancel(pending.request.request_id, agent="agent-1", person=None, reason=None)


async def revoke(world: World, pending: RequestRecord, approved: RequestRecord) -> object:
    return await world.service.revoke(approved.request.request_id, person="alice", reason=None)


async def collect(world: World, pending: RequestRecord, approved: RequestRecord) -> object:
    return await world.service.collect_token("agent-1", approved.request.request_id)


async def time_out(world: World, pending: RequestRecord, approved: RequestRecord) -> object:
    return await world.service.run_deadlines(now=pending.request.expires_at)


ACTS = [submit, attach, approve, deny, decide_without_right, cancel, revoke, collect, time_out]


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
async def test_an_act_whose_audit_entry_cannot_be_written_does_not_happen(
    world: World, act: Callable[[World, RequestRecord, RequestRecord], Awaitable[object]]
) -> None:
    approved = await world.approved()
    pending = await world.service.submit("agent-1", submission("print('pending')"))
    await refuse_audit_entries(world)
    before = await everything(world)
    with pytest.raises(AuditUnavailable):
        await act(world, pending, approved)
    assert await everything(world) == before


async def test_reading_goes_on_while_the_audit_log_is_unavailable(world: World) -> None:
    record = await world.approved()
    await refuse_audit_entries(world)
    assert await world.service.get(record.request.request_id) == record


async def test_every_act_leaves_a_chain_that_verifies(world: World, clock: ManualClock) -> None:
    approved = await world.approved()
    await world.service.collect_token("agent-1", approved.request.request_id)
    await world.service.revoke(approved.request.request_id, person="bob", reason="späte Einsicht \u202e")
    pending = await world.service.submit("agent-1", submission("print(2)", key="a"))
    await world.service.submit("agent-1", submission("print(2)", key="b"))
    await world.service.cancel(pending.request.request_id, agent="agent-1", person=None, reason=None)
    await world.service.submit("agent-1", submission("print(3)", timeout=60))
    clock.advance(60)
    await world.service.run_deadlines(now=clock.now())
    await world.audit_log.checkpoint()
    keys = PublicKeys([world.keys.audit_key.private.public_key()])
    report = await world.audit_log.verify(keys)
    assert report.intact
    assert report.entries == 9
