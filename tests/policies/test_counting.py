"""Limits count what is in the database, on both dialects."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hitl_contract.action import parse_action
from hitl_mcp.approvals.models import Assurance, DecisionInput, Submission, Verdict
from hitl_mcp.policies.counting import SqlCounter
from server_kit.database.base import Database
from tests.approvals.world import World, create_schema
from tests.conftest import ManualClock
from tests.policies.writing import action


async def test_requests_under_a_rule_and_approvals_by_one_person_are_counted_for_an_hour(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    await create_schema(database)
    world = World(database, clock, tmp_path)
    counter = SqlCounter(database, recount_seconds=0)

    async def counts() -> tuple[int, int, int]:
        since = clock.now() - timedelta(hours=1)
        return (
            await counter.requests("builder", "ask-1", since=since, most=10),
            await counter.requests("builder", "ask-1", since=since, most=2),
            await counter.busiest_approver(since=since),
        )

    assert await counts() == (0, 0, 0)
    for number in range(3):
        record = await world.service.submit(
            "builder", Submission(parse_action(action(code=f"print({number})")), "to know")
        )
        await world.service.decide(
            DecisionInput(
                record.request.request_id,
                "alice" if number else "bob",
                Verdict.APPROVE,
                None,
                "web",
                Assurance.SESSION,
                record.request.action_digest,
            )
        )
    await world.service.submit("other", Submission(parse_action(action()), "to know"))
    assert await counts() == (3, 2, 2)
    clock.advance(3601)
    assert await counts() == (0, 0, 0)
