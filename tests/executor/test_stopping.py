"""What a stopped execution leaves: its checkpoint, or nothing at all where its program had not begun."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from executor_mcp.interface.views import execution_answer
from executor_mcp.models import ExecutionStatus
from executor_mcp.sandbox.base import CreatedFile, Termination
from executor_mcp.start_record import SharedBounds
from server_kit.database.base import Database
from tests.executor.support import Bench, bench, eventually, outcome
from tests.executor.test_waiting import working


@pytest.mark.parametrize(
    ("content", "checkpoint"),
    [
        (b'{"step": 3}', {"step": 3}),
        (b"[1, 2", None),
        (b"NaN", None),
        (b"", None),
        (b'"' + b"x" * 262_144 + b'"', None),
    ],
)
async def test_a_checkpoint_is_read_where_it_is_json_of_bounded_size(
    ready: Bench, content: bytes, checkpoint: object
) -> None:
    left = CreatedFile("checkpoint.json", len(content), "0" * 64, "application/json", content)
    ready.sandbox.outcome = replace(outcome("timed_out", exit_code=None), files=(left,))
    answer = execution_answer(await ready.run(), None)
    assert answer.checkpoint == checkpoint
    assert [file.path for file in answer.files_created] == ["checkpoint.json"]
    assert ("checkpoint" in answer.next_step) == (checkpoint is not None)


@pytest.mark.parametrize(
    ("termination", "left", "complete", "checkpoint"),
    [
        ("sandbox_failed", None, False, {"step": 1}),
        ("timed_out", b'{"step": 2', True, {"step": 1}),
        ("cancelled", b'{"step": 2}', True, {"step": 2}),
        ("exited", None, True, None),
        ("exited", b'{"step": 2', True, None),
    ],
)
async def test_the_last_checkpoint_that_was_told_stands_in_for_one_that_was_lost_or_half_written(
    ready: Bench, termination: Termination, left: bytes | None, complete: bool, checkpoint: object
) -> None:
    other = CreatedFile("a.txt", 1, "0" * 64, "text/plain", b"a")
    files = () if left is None else (CreatedFile("checkpoint.json", len(left), "0" * 64, "json", left),)
    ended = replace(outcome(termination), files=(*files, other), files_truncated=not complete)
    ready.sandbox.hold = True
    execution_id = await ready.executor.service.execute(ready.issuer.token(), None)
    await eventually(lambda: bool(ready.sandbox.runs))
    live = ready.executor.service.live(execution_id)
    assert live is not None
    live.checkpoint(b'{"step":  1}')
    ready.sandbox.runs[0].end(ended)
    answer = execution_answer(await ready.executor.service.get(execution_id, wait_seconds=10), None)
    assert answer.checkpoint == checkpoint
    if checkpoint == {"step": 1}:
        found = await ready.executor.service.output_file(execution_id, "checkpoint.json")
        assert found.content == b'{"step":  1}'
        assert [file.path for file in answer.files_created] == ["a.txt", "checkpoint.json"]


async def test_what_is_cancelled_while_its_sandbox_starts_runs_nothing(ready: Bench) -> None:
    ready.sandbox.start_gate = asyncio.Event()
    execution_id = await ready.executor.service.execute(ready.issuer.token(), None)
    await eventually(lambda: bool(ready.sandbox.started))
    await ready.executor.service.cancel(execution_id)
    ended = await ready.executor.service.get(execution_id, wait_seconds=10)
    assert ended.status is ExecutionStatus.CANCELLED
    assert ended.outcome is not None
    assert "nothing of it has run" in str(ended.outcome.detail)
    assert (ready.sandbox.runs, ready.sandbox.discarded) == ([], 1)


async def test_what_waits_and_is_cancelled_from_another_process_ends_while_every_place_is_taken(
    store: Database, tmp_path: Path
) -> None:
    made = bench(store, tmp_path / "a", bounds=SharedBounds(most_waiting=2), places=1)
    operator = bench(store, tmp_path / "b", issuer=made.issuer)
    made.sandbox.hold = True
    async with working(made):
        await made.executor.service.execute(made.issuer.token(), None)
        waiting = await made.executor.service.execute(made.issuer.token(), None)
        assert (await made.executor.service.get(waiting)).status is ExecutionStatus.PENDING
        await operator.executor.ledger.cancel_requests.leave(waiting, actor="operator")
        # Less than the five seconds after which the queue is looked at in any case.
        async with asyncio.timeout(4):
            ended = await made.executor.service.get(waiting, wait_seconds=10)
    assert ended.status is ExecutionStatus.CANCELLED
    assert len(made.sandbox.started) == 1
