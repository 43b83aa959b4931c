"""What a submission and a decision may hold."""

from __future__ import annotations

import pytest

from hitl_mcp.approvals.errors import (
    InvalidSubmission,
)
from hitl_mcp.approvals.models import Submission
from hitl_mcp.storage.request_store import SqlRequestStore
from tests.approvals.world import World, program, submission, verdict

BAD_SUBMISSIONS = [
    ("justification", Submission(program(), " ")),
    ("justification", Submission(program(), "x" * 4001)),
    ("justification", Submission(program(), "a\x00b")),
    ("justification", Submission(program(), "a\ud800b")),
    ("summary", Submission(program(), "x", summary="s" * 301)),
    ("timeout_seconds", Submission(program(), "x", timeout_seconds=9)),
    ("timeout_seconds", Submission(program(), "x", timeout_seconds=604_801)),
    ("idempotency_key", Submission(program(), "x", idempotency_key="")),
    ("idempotency_key", Submission(program(), "x", idempotency_key="k" * 256)),
    ("trace_id", Submission(program(), "x", trace_id="\x00")),
    ("metadata", Submission(program(), "x", metadata={"a": "x" * 20_000})),
    ("metadata", Submission(program(), "x", metadata={"a": float("nan")})),
]


@pytest.mark.parametrize(("field", "bad"), BAD_SUBMISSIONS)
async def test_a_submission_outside_the_bounds_names_the_field_and_stores_nothing(
    world: World, field: str, bad: Submission
) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        await world.service.submit("agent-1", bad)
    assert caught.value.field == field
    assert await world.count("requests") == await world.count("actions") == 0


async def test_a_reason_that_cannot_be_stored_is_refused(world: World) -> None:
    record = await world.service.submit("agent-1", submission())
    with pytest.raises(InvalidSubmission, match="reason"):
        await world.service.decide(verdict(record, "alice", reason="\x00"))
    with pytest.raises(InvalidSubmission, match="reason"):
        await world.service.cancel(record.request.request_id, agent="agent-1", person=None, reason="x" * 2001)


async def test_any_text_is_kept_exactly(world: World) -> None:
    odd = "\u202e\u200b'\"; DROP TABLE requests; -- \U0001f600 \x01\x7f"
    asked = Submission(program(odd), odd, summary=odd, metadata={odd: [odd, None, 1.5, {"a": True}]})
    record = await world.service.submit("agent-1", asked)
    fresh = SqlRequestStore(world.database.dialect)
    stored = await world.database.read(lambda connection: fresh.load(connection, record.request.request_id))
    assert stored == record
