"""What a stopped execution leaves: its checkpoint, or nothing at all where its program had not begun."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from executor_mcp.interface.views import execution_answer
from executor_mcp.models import ExecutionStatus
from executor_mcp.sandbox.base import CreatedFile
from tests.executor.support import Bench, eventually, outcome


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
