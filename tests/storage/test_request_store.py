"""The request store keeps what it is given, alike on both databases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TypeVar

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.action import action_digest, canonical_action, parse_action
from hitl_mcp.approvals.deadlines import plan
from hitl_mcp.approvals.models import ApprovalRequest, Decision, RequestStatus
from hitl_mcp.approvals.ports import ListPosition
from hitl_mcp.storage.errors import ConcurrentChange, StoredActionDamaged
from hitl_mcp.storage.request_store import SqlRequestStore
from hitl_mcp.storage.schema import deadlines
from server_kit.database.base import Database
from tests.approvals.test_seals import decision, request
from tests.approvals.world import create_schema, program

T = TypeVar("T")
NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Stored:
    """A store with each act in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = SqlRequestStore(database.dialect)

    async def write(self, operation: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        return await self.database.write(operation)

    async def insert(self, made: ApprovalRequest) -> bool:
        canonical = canonical_action(made.action)

        async def operation(connection: AsyncConnection) -> bool:
            inserted = await self.store.insert(connection, made, canonical)
            if inserted:
                await self.store.add_deadlines(connection, plan(made))
            return inserted

        return await self.write(operation)

    async def update(self, changed: ApprovalRequest) -> None:
        await self.write(lambda connection: self.store.update(connection, changed))

    async def add_decision(self, made: Decision) -> None:
        await self.write(lambda connection: self.store.add_decision(connection, made))


@pytest_asyncio.fixture
async def stored(database: Database) -> Stored:
    await create_schema(database)
    return Stored(database)


def another(number: int, **changes: object) -> ApprovalRequest:
    code = program(f"print({number})")
    fresh = replace(request(), request_id=f"req_{number:03}", action=code)
    return replace(fresh, action_digest=action_digest(code), **changes)  # type: ignore[arg-type]


async def test_what_was_stored_is_read_back_equal_by_a_store_with_an_empty_cache(stored: Stored) -> None:
    made = replace(
        request(),
        summary="s\u202e",
        metadata={"k": [1, "zwölf", None, {"n": 1.5}]},
        created_at=NOW + timedelta(microseconds=1),
        trace_id="t",
    )
    assert await stored.insert(made)
    fresh = SqlRequestStore(stored.database.dialect)
    record = await stored.database.read(lambda connection: fresh.load(connection, made.request_id))
    assert record is not None
    assert record.request == made
    assert record.decisions == ()


async def test_a_time_is_the_same_instant_whatever_zone_it_was_given_in(stored: Stored) -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    made = replace(request(), created_at=NOW.astimezone(zone))
    await stored.insert(made)
    record = await stored.database.read(lambda connection: stored.store.load(connection, made.request_id))
    assert record is not None
    assert record.request.created_at == NOW


async def test_a_time_without_a_zone_is_refused(stored: Stored) -> None:
    with pytest.raises(StatementError, match="time zone"):
        await stored.insert(replace(request(), created_at=NOW.replace(tzinfo=None)))


async def test_a_second_open_request_of_the_same_agent_and_action_is_not_stored(stored: Stored) -> None:
    assert await stored.insert(request())
    assert not await stored.insert(replace(request(), request_id="req_b"))
    assert await stored.insert(replace(request(), request_id="req_c", agent="agent-2"))
    attached = await stored.write(
        lambda connection: stored.store.attached(connection, "agent-1", request().action_digest)
    )
    assert attached == "req_a"
    await stored.write(lambda connection: stored.store.detach(connection, "req_a"))
    assert await stored.insert(replace(request(), request_id="req_b"))


async def test_an_update_of_another_version_is_refused_and_changes_nothing(stored: Stored) -> None:
    await stored.insert(request())
    denied = replace(request(), status=RequestStatus.DENIED, version=2)
    await stored.update(denied)
    with pytest.raises(ConcurrentChange, match="version 1"):
        await stored.update(replace(request(), status=RequestStatus.APPROVED, version=2))
    record = await stored.database.read(lambda connection: stored.store.load(connection, "req_a"))
    assert record is not None
    assert record.request == denied


async def test_an_ended_request_has_no_deadline_left(stored: Stored) -> None:
    await stored.insert(request())
    store, later = stored.store, NOW + timedelta(hours=1)
    assert await stored.database.read(store.next_due) == later
    assert await stored.write(lambda connection: store.due(connection, NOW, 10)) == []
    (due,) = await stored.write(lambda connection: store.due(connection, later, 10))
    assert (due.request_id, due.due_at) == ("req_a", later)
    await stored.update(replace(request(), status=RequestStatus.CANCELLED, version=2))
    assert await stored.database.read(store.next_due) is None


async def test_deadlines_come_earliest_first_and_no_more_than_asked_for(stored: Stored) -> None:
    for number in (3, 1, 2):
        await stored.insert(another(number, expires_at=NOW + timedelta(seconds=number)))
    due = await stored.write(lambda connection: stored.store.due(connection, NOW + timedelta(seconds=9), 2))
    assert [each.request_id for each in due] == ["req_001", "req_002"]


async def test_two_spellings_of_one_person_cannot_both_be_stored(stored: Stored) -> None:
    await stored.insert(request())
    await stored.add_decision(decision())
    with pytest.raises(IntegrityError):
        await stored.add_decision(replace(decision(), decision_id="dec_b", person="ＡＬＩＣＥ"))


async def test_decisions_are_read_back_equal_and_oldest_first(stored: Stored) -> None:
    await stored.insert(request())
    older = replace(decision(), decision_id="dec_z", person="bob", decided_at=NOW - timedelta(seconds=1))
    await stored.add_decision(decision())
    await stored.add_decision(older)
    await stored.update(replace(request(), version=2))
    record = await stored.database.read(lambda connection: stored.store.load(connection, "req_a"))
    assert record is not None
    assert record.decisions == (older, decision())


async def test_pages_continue_below_the_last_record_also_within_one_instant(stored: Stored) -> None:
    for number in range(5):
        await stored.insert(another(number))
    seen: list[str] = []
    after: ListPosition | None = None
    while True:
        page, more = await stored.write(
            lambda connection, after=after: stored.store.page(
                connection, agent=None, status=None, limit=2, after=after
            )
        )
        if not more:
            break
        seen += [record.request.request_id for record in page]
        after = ListPosition(page[-1].request.created_at, page[-1].request.request_id)
    seen += [record.request.request_id for record in page]
    assert seen == ["req_004", "req_003", "req_002", "req_001", "req_000"]


async def test_large_actions_make_short_pages(stored: Stored) -> None:
    for number in range(4):
        code = parse_action(
            {
                "type": "code_execution",
                "language": "python",
                "code": f"print({number})",
                "files": [{"path": "data", "content": "y" * 3_900_000}],
            }
        )
        await stored.insert(
            replace(request(), request_id=f"req_{number:03}", action=code, action_digest=action_digest(code))
        )
    page, more = await stored.write(
        lambda connection: stored.store.page(connection, agent=None, status=None, limit=100, after=None)
    )
    assert [record.request.request_id for record in page] == ["req_003", "req_002"]
    assert more


async def test_statuses_are_given_for_known_requests_only(stored: Stored) -> None:
    await stored.insert(request())
    found = await stored.write(
        lambda connection: stored.store.statuses(connection, frozenset({"req_a", "req_unknown"}))
    )
    assert found == {"req_a": RequestStatus.PENDING}


async def test_a_missing_action_is_an_error_and_not_another_action(stored: Stored) -> None:
    await stored.insert(request())
    await stored.write(lambda connection: connection.execute(deadlines.delete()))

    async def lose(connection: AsyncConnection) -> None:
        if stored.database.dialect == "postgresql":
            await connection.execute(text("ALTER TABLE requests DROP CONSTRAINT fk_requests_action_digest"))
            await connection.execute(text("DELETE FROM actions"))
        else:
            await connection.execute(text("UPDATE actions SET canonical = x'7b7d'"))

    await stored.write(lose)
    fresh = SqlRequestStore(stored.database.dialect)
    with pytest.raises(StoredActionDamaged):
        await stored.database.read(lambda connection: fresh.load(connection, "req_a"))


async def test_a_large_action_is_kept_whole_and_out_of_the_cache(stored: Stored) -> None:
    code = program("x = '" + "é" * 200_000 + "'")
    made = replace(request(), action=code, action_digest=action_digest(code))
    await stored.insert(made)
    record = await stored.database.read(lambda connection: stored.store.load(connection, made.request_id))
    assert record is not None
    assert record.request == made


async def test_the_cache_of_parsed_actions_is_bounded(stored: Stored) -> None:
    for number in range(520):
        stored.store._keep(f"sha-256:{number}", program(), 10)
    assert len(stored.store._parsed) == 512


@pytest.mark.parametrize("request_id", ["a\x00b", "a\ud800b", "é"])
async def test_an_id_that_no_request_can_have_is_looked_up_in_vain(stored: Stored, request_id: str) -> None:
    assert await stored.write(lambda connection: stored.store.load(connection, request_id)) is None
