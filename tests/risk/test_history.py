"""Denials raise; a clean record alone lowers nothing; reading it is cheap and alike on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from hitl_contract.action import action_digest, canonical_action, parse_action
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import RequestStatus
from hitl_mcp.approvals.terms import AgentFacts, RuleVerdict
from hitl_mcp.risk.consensus import Consensus
from hitl_mcp.risk.history import REMEMBERED, HistoryVote, PastOperation, judge
from hitl_mcp.risk.past_operations import SqlPastOperations
from hitl_mcp.risk.shapes import shape_of
from hitl_mcp.storage.request_store import SqlRequestStore
from server_kit.database.base import Database
from tests.approvals.test_seals import request
from tests.approvals.world import create_schema
from tests.conftest import ManualClock
from tests.risk.assessors import AGENT, Says, python, submission

LOW, MEDIUM, HIGH, CRITICAL = RiskLevel


def past(action: dict[str, object], *, approved: bool) -> PastOperation:
    parsed = parse_action(action)
    return PastOperation(action_digest(parsed), shape_of(parsed), approved)


def push(branch: str) -> dict[str, object]:
    return {"type": "shell_command", "argv": ["git", "push", "origin", branch]}


class Record:
    def __init__(self, *operations: PastOperation) -> None:
        self.operations: Sequence[PastOperation] = operations
        self.read = 0

    async def decided(self, agent: str) -> Sequence[PastOperation]:
        self.read += 1
        return self.operations


async def level(record: Record, action: dict[str, object]) -> RiskLevel | None:
    return (await HistoryVote(record, ManualClock()).assess(AGENT, submission(action))).level


async def test_an_agent_without_a_record_has_no_vote() -> None:
    assert await level(Record(), push("a")) is None


async def test_the_very_action_that_was_denied_is_of_high_risk() -> None:
    assert await level(Record(past(push("a"), approved=False)), push("a")) is HIGH


async def test_what_was_approved_since_it_was_denied_is_no_longer_of_high_risk() -> None:
    record = Record(past(push("a"), approved=True), past(push("a"), approved=False))

    assert await level(record, push("a")) is MEDIUM


async def test_one_alike_that_was_denied_raises_to_medium_and_three_to_high() -> None:
    denied = [past(push(branch), approved=False) for branch in "abc"]

    assert await level(Record(denied[0]), push("x")) is MEDIUM
    assert await level(Record(*denied), push("x")) is HIGH


async def test_a_denial_of_something_else_raises_nothing() -> None:
    other = {"type": "shell_command", "argv": ["kubectl", "delete", "pod", "a"]}

    assert await level(Record(past(other, approved=False)), push("x")) is None


async def test_a_long_clean_record_votes_low_but_lowers_nothing() -> None:
    record = Record(*(past(push(f"b{number}"), approved=True) for number in range(12)))
    history = HistoryVote(record, ManualClock())
    assert (await history.assess(AGENT, submission(push("x")))).level is LOW

    for seen in (MEDIUM, HIGH, CRITICAL):
        consensus = Consensus([Says("static analysis", seen), history])
        assert (await consensus.assess(AGENT, submission(push("x"), LOW))).level is seen


async def test_a_record_is_read_once_and_again_after_five_seconds() -> None:
    record, clock = Record(past(push("a"), approved=True)), ManualClock()
    vote = HistoryVote(record, clock)

    for _ in range(3):
        await vote.assess(AGENT, submission(push("x")))
    assert record.read == 1

    clock.advance(REMEMBERED.total_seconds())
    await vote.assess(AGENT, submission(push("x")))
    assert record.read == 2

    clock.advance(-3600)
    await vote.assess(AGENT, submission(push("x")))
    assert record.read == 3, "a clock that was set back made an old record last"


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (push("a"), push("b"), True),
        (push("a"), {"type": "shell_command", "argv": ["git", "log", "--oneline"]}, False),
        (push("a"), {"type": "shell_command", "argv": ["/usr/bin/git", "push", "origin", "b"]}, True),
        (python("import json\nprint(json.loads(x))"), python("import json\nprint(json.loads(y))"), True),
        (python("import json\nprint(1)"), python("import shutil\nshutil.rmtree(x)"), False),
        (
            {"type": "http_request", "method": "GET", "url": "https://a.example/v1/x"},
            {"type": "http_request", "method": "GET", "url": "https://b.example/v1/x"},
            False,
        ),
        (
            {"type": "tool_call", "server": "s", "tool": "t", "arguments": {"a": 1}},
            {"type": "tool_call", "server": "s", "tool": "t", "arguments": {"a": 2}},
            True,
        ),
        (
            {"type": "file_change", "path": "src/a.py", "diff": "+x"},
            {"type": "file_change", "path": "src/b.py", "diff": "+y"},
            True,
        ),
        (
            {"type": "generic", "operation": "a", "details": {}},
            {"type": "generic", "operation": "b", "details": {}},
            False,
        ),
    ],
)
def test_operations_are_alike_by_kind_and_features(
    one: dict[str, object], other: dict[str, object], alike: bool
) -> None:
    shapes = shape_of(parse_action(one)), shape_of(parse_action(other))

    assert shapes[0].is_like(shapes[1]) is alike
    assert shapes[1].is_like(shapes[0]) is alike


class Stored:
    """Requests in a database, each with an outcome."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self._database = database
        self._store = SqlRequestStore(database.dialect)
        self._clock = clock
        self._number = 0

    async def put(
        self,
        action: dict[str, object],
        status: RequestStatus,
        *,
        agent: str = AGENT.name,
        verdict: RuleVerdict = RuleVerdict.ASK,
        revoked: bool = False,
    ) -> None:
        self._number += 1
        self._clock.advance(1)
        now, parsed = self._clock.now(), parse_action(action)
        stored = replace(
            request(),
            request_id=f"req_{self._number:04}",
            agent=agent,
            action=parsed,
            action_digest=action_digest(parsed),
            status=status,
            verdict=verdict,
            created_at=now,
            expires_at=now + timedelta(hours=1),
            revoked_at=now if revoked else None,
            revision=0,
            proposed_digest=None,
        )

        async def write(connection: object) -> bool:
            inserted = await self._store.insert(connection, stored, canonical_action(parsed))  # type: ignore[arg-type]
            await self._store.detach(connection, stored.request_id)  # type: ignore[arg-type]
            return inserted

        assert await self._database.write(write)


@pytest.fixture
async def stored(database: Database, clock: ManualClock) -> Stored:
    await create_schema(database)
    return Stored(database, clock)


async def test_the_record_holds_what_people_decided_newest_first(stored: Stored, database: Database) -> None:
    await stored.put(push("a"), RequestStatus.DENIED)
    await stored.put(push("b"), RequestStatus.APPROVED)
    await stored.put(push("c"), RequestStatus.APPROVED, revoked=True)
    await stored.put(push("d"), RequestStatus.APPROVED, verdict=RuleVerdict.ALLOW)
    await stored.put(push("e"), RequestStatus.DENIED, verdict=RuleVerdict.DENY)
    await stored.put(push("f"), RequestStatus.TIMEOUT)
    await stored.put(push("g"), RequestStatus.APPROVED, agent="another")

    record = await SqlPastOperations(database).decided(AGENT.name)

    assert record == [
        past(push("c"), approved=False),
        past(push("b"), approved=True),
        past(push("a"), approved=False),
    ]


async def test_a_denial_in_the_database_raises_the_next_request(stored: Stored, database: Database) -> None:
    await stored.put(push("a"), RequestStatus.DENIED)
    vote = HistoryVote(SqlPastOperations(database), ManualClock())

    assert (await vote.assess(AGENT, submission(push("b")))).level is MEDIUM
    assert (await vote.assess(AgentFacts("another"), submission(push("b")))).level is None


async def test_actions_too_large_to_read_have_no_voice(stored: Stored, database: Database) -> None:
    await stored.put(python("x = 1\n" * 5_000), RequestStatus.DENIED)
    await stored.put(push("a"), RequestStatus.APPROVED)
    reader = SqlPastOperations(database)

    assert await reader.decided(AGENT.name) == [past(push("a"), approved=True)]
    assert await reader.decided(AGENT.name) == [past(push("a"), approved=True)]


async def test_no_more_than_the_newest_are_read(stored: Stored, database: Database) -> None:
    for number in range(60):
        await stored.put(push(f"b{number}"), RequestStatus.APPROVED)

    record = await SqlPastOperations(database).decided(AGENT.name)

    assert len(record) == 50
    assert record[0] == past(push("b59"), approved=True)


async def test_the_record_is_found_by_an_index(stored: Stored, database: Database) -> None:
    if database.dialect != "sqlite":
        return

    async def plan(connection: object) -> str:
        rows = await connection.execute(  # type: ignore[attr-defined]
            text(
                "EXPLAIN QUERY PLAN SELECT action_digest FROM requests "
                "WHERE agent = 'a' AND status = 'DENIED' ORDER BY created_at DESC, request_id DESC LIMIT 50"
            )
        )
        return " ".join(str(row) for row in rows)

    explained = await database.read(plan)
    assert "ix_requests_agent_status_created" in explained
    assert "TEMP B-TREE" not in explained


def test_judging_nothing_alike_says_so() -> None:
    opinion = judge([past(push("a"), approved=True)], "sha-256:x", shape_of(parse_action(push("b"))))

    assert opinion.level is None
    assert "too few" in opinion.reason
