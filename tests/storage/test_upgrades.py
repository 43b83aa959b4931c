"""What the first release stored is there after an upgrade, proves itself and can still be decided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.action import action_digest, canonical_action
from hitl_contract.display import render_action
from hitl_mcp.approvals import events
from hitl_mcp.approvals.errors import SealBroken
from hitl_mcp.approvals.models import RequestStatus
from hitl_mcp.minting.seals import RecordSealer, sealed_time
from hitl_mcp.storage.migrations import SCRIPT_LOCATION
from server_kit.database.base import Database
from server_kit.database.migrations import migrate
from server_kit.database.opening import open_database
from tests.approvals.rules import edit
from tests.approvals.world import World, open_or_create_keys, program, verdict
from tests.conftest import ManualClock

ACTION = program("print('long ago')")


def to_revision(connection: Connection, wanted: str) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "sqlite":
        connection.execute(text("PRAGMA defer_foreign_keys=ON"))
    script = ScriptDirectory(str(SCRIPT_LOCATION))

    def steps(now: Any, _context: Any) -> Any:
        revisions = [each.revision for each in script.walk_revisions()]
        at = revisions.index(now[0] if isinstance(now, tuple) else now) if now else len(revisions)
        down = revisions.index(wanted) > at
        return (script._downgrade_revs if down else script._upgrade_revs)(wanted, now)

    options = {"fn": steps, "script": script, "transactional_ddl": False}
    context = MigrationContext.configure(connection, opts=options)
    with Operations.context(context):
        context.run_migrations()


async def bring_to(url: str, revision: str) -> None:
    database = await open_database(url)
    await database.write(lambda connection: connection.run_sync(to_revision, revision))
    await database.close()


def request_row(sealer: RecordSealer, request_id: str, status: str, clock: ManualClock) -> dict[str, Any]:
    now = clock.now()
    sealed = {
        "request_id": request_id,
        "agent": "agent-1",
        "action_digest": action_digest(ACTION),
        "display_digest": render_action(ACTION).digest,
        "justification": "why",
        "summary": None,
        "risk_level": "low",
        "policy": "ask-one-approver",
        "required_approvals": 1,
        "required_assurance": "chat",
    }
    times = {"created_at": sealed_time(now), "expires_at": sealed_time(now)}
    micro = int(now.timestamp() * 1_000_000)
    expires = clock.now().replace(year=now.year + 1)
    times["expires_at"] = sealed_time(expires)
    return sealed | {
        "action_type": "code_execution",
        "status": status,
        "created_at": micro,
        "expires_at": int(expires.timestamp() * 1_000_000),
        "decided_at": None if status == "PENDING" else micro,
        "valid_until": None if status == "PENDING" else micro + 3_600_000_000,
        "metadata": "{}",
        "version": 1 if status == "PENDING" else 2,
        "seal": sealer.seal("request", sealed | times),
        "attachable_digest": sealed["action_digest"] if status == "PENDING" else None,
    }


def decision_row(sealer: RecordSealer, request_id: str, clock: ManualClock) -> dict[str, Any]:
    sealed = {
        "decision_id": f"dec_{request_id}",
        "request_id": request_id,
        "action_digest": action_digest(ACTION),
        "display_digest": render_action(ACTION).digest,
        "person": "alice",
        "verdict": "approve",
        "reason": None,
        "conditions": None,
        "channel": "web",
        "assurance": "session",
    }
    times = {"evidence": {}, "decided_at": sealed_time(clock.now())}
    return sealed | {
        "person_key": "alice",
        "evidence": "{}",
        "decided_at": int(clock.now().timestamp() * 1_000_000),
        "seal": sealer.seal("decision", sealed | times),
    }


async def insert(connection: AsyncConnection, table: str, row: dict[str, Any]) -> None:
    statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(':' + name for name in row)})"
    await connection.execute(text(statement), row)


async def filled(url: str, home: Path, clock: ManualClock) -> None:
    """A database of the first release with an approved and a pending request."""
    await bring_to(url, "0001_initial")
    sealer = RecordSealer(open_or_create_keys(home, clock).seal_key)
    database = await open_database(url)

    async def operation(connection: AsyncConnection) -> None:
        stored = {"digest": action_digest(ACTION), "canonical": canonical_action(ACTION), "created_at": 1}
        await insert(connection, "actions", stored)
        for request_id, status in (("req_done", "APPROVED"), ("req_open", "PENDING")):
            await insert(connection, "requests", request_row(sealer, request_id, status, clock))
            await insert(connection, "deadlines", {"request_id": request_id, "kind": "expiry", "due_at": 1})
        await insert(connection, "decisions", decision_row(sealer, "req_done", clock))

    await database.write(operation)
    await database.close()


async def upgraded(url: str, home: Path, clock: ManualClock) -> World:
    await filled(url, home, clock)
    await migrate(url, SCRIPT_LOCATION)
    world = World(await open_database(url), clock, home)

    async def operation(connection: AsyncConnection) -> None:
        for request_id in ("req_done", "req_open"):
            record = await world.ports.store.load(connection, request_id)
            assert record is not None
            wanted = [(events.CREATED, record.request.seal)]
            wanted += [(events.DECIDED, each.seal) for each in record.decisions]
            for event, seal in wanted:
                await world.ports.audit.append(
                    connection, event, actor="a", subject=request_id, details={"seal": seal}
                )

    await world.database.write(operation)
    return world


async def test_an_approval_of_the_first_release_still_proves_itself(
    database_url: str, tmp_path: Path, clock: ManualClock
) -> None:
    world = await upgraded(database_url, tmp_path, clock)
    assert await world.service.collect_token("agent-1", "req_done")
    await world.database.close()


async def test_a_pending_request_of_the_first_release_is_decided_and_edited_like_any_other(
    database_url: str, tmp_path: Path, clock: ManualClock
) -> None:
    world = await upgraded(database_url, tmp_path, clock)
    record = await world.service.get("req_open")
    assert record.request.required_approvals == record.request.terms.required_approvals == 1
    edited = await world.service.edit(edit(record, "bob", program("print('now')")))
    done = await world.service.decide(verdict(edited, "alice"))
    assert done.request.status is RequestStatus.APPROVED
    assert await world.service.collect_token("agent-1", "req_open")
    await world.database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE requests SET required_approvals = 0 WHERE request_id = 'req_done'",
        "UPDATE requests SET seal_format = 2 WHERE request_id = 'req_done'",
        'UPDATE decisions SET seal_format = 2, acted_as = \'{"groups":[],"acting_for":[]}\'',
    ],
)
async def test_a_row_of_the_first_release_that_was_changed_proves_nothing(
    database_url: str, tmp_path: Path, clock: ManualClock, statement: str
) -> None:
    world = await upgraded(database_url, tmp_path, clock)
    await world.database.write(lambda connection: connection.execute(text(statement)))
    with pytest.raises(SealBroken):
        await world.service.collect_token("agent-1", "req_done")
    await world.database.close()


async def test_terms_that_a_row_of_the_first_release_could_not_seal_are_not_believed(
    database_url: str, tmp_path: Path, clock: ManualClock
) -> None:
    world = await upgraded(database_url, tmp_path, clock)
    silent = (
        "UPDATE requests SET verdict = 'allow', terms = '{\"on_timeout\":\"UnsafeAutoApproveOnTimeout\"}'"
    )
    await world.database.write(lambda connection: connection.execute(text(silent)))
    record = await world.service.get("req_open")
    assert (record.request.verdict.value, record.request.terms.on_timeout.value) == ("ask", "deny")
    await world.database.close()


async def test_the_upgrade_keeps_every_row_and_can_be_taken_back(
    database_url: str, tmp_path: Path, clock: ManualClock
) -> None:
    await filled(database_url, tmp_path, clock)
    before = await rows_of(database_url)
    await bring_to(database_url, "0002_terms")
    await bring_to(database_url, "0001_initial")
    assert await rows_of(database_url) == before


async def rows_of(url: str) -> dict[str, list[dict[str, Any]]]:
    database: Database = await open_database(url)

    async def operation(connection: AsyncConnection) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for table, key in (
            ("requests", "request_id"),
            ("decisions", "decision_id"),
            ("deadlines", "request_id"),
        ):
            rows = await connection.execute(text(f"SELECT * FROM {table} ORDER BY {key}"))
            found[table] = [dict(row) for row in rows.mappings()]
        return found

    kept = await database.read(operation)
    await database.close()
    return kept
