"""What executions put out goes when it is old or too much; that they ran, and their tokens, stay known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.errors import ExecutionNotFound, OutputFileNotFound, RefusalReason
from executor_mcp.interface.views import execution_answer
from executor_mcp.live_output import Position
from executor_mcp.retention import RetentionPolicy
from executor_mcp.storage.schema import execution_files, running_output, running_progress
from executor_mcp.storage.sweeping import stored_bytes
from server_kit.database.base import Database
from tests.conftest import ManualClock
from tests.executor.support import Bench, bench, outcome, refused

HOUR = timedelta(hours=1)
SECONDS = HOUR.total_seconds()
POLICY = RetentionPolicy(output=2 * HOUR, output_bytes=2_000, record=4 * HOUR)


def made_with(database: Database, home: Path, clock: ManualClock) -> Bench:
    return bench(database, home, clock=clock, retention=POLICY)


def now(clock: ManualClock) -> int:
    return int(clock.now().timestamp())


async def sweep(made: Bench) -> int:
    return len((await made.executor.retention.sweep()).execution_ids)


async def test_output_goes_by_age_then_the_record_and_the_token_stays_spent(
    either_store: Database, tmp_path: Path
) -> None:
    clock = ManualClock()
    made = made_with(either_store, tmp_path, clock)
    claims = made.issuer.claims(now=now(clock))
    execution_id = await made.executor.service.execute(made.issuer.sign(claims), None)
    await made.executor.service.get(execution_id, wait_seconds=20)
    assert await sweep(made) == 0

    clock.advance(2 * SECONDS + 1)
    assert await sweep(made) == 1
    found = await made.executor.service.get(execution_id)
    assert found.outcome is not None
    assert (found.outcome.stdout, found.outcome.result_json, found.outcome.files) == (b"", None, ())
    assert (found.outcome.exit_code, found.output_removed) == (0, True)
    assert found.receipt is not None
    assert "no longer kept" in execution_answer(found, None).next_step
    with pytest.raises(OutputFileNotFound):
        await made.executor.service.output_file(execution_id, "out.txt")
    assert await sweep(made) == 0

    clock.advance(2 * SECONDS)
    assert await sweep(made) == 1
    with pytest.raises(ExecutionNotFound):
        await made.executor.service.get(execution_id)
    assert await made.counts() == (1, 0)
    again = made.issuer.sign(
        replace(claims, issued_at=now(clock), not_before=now(clock), expires_at=now(clock) + 60)
    )
    assert (await refused(made, again)).reason is RefusalReason.ALREADY_USED


async def test_of_too_much_the_oldest_goes_first_in_bounded_steps(
    either_store: Database, tmp_path: Path
) -> None:
    clock = ManualClock()
    made = made_with(either_store, tmp_path, clock)
    made.sandbox.outcome = outcome(stdout=b"x" * 393)
    ids: list[str] = []
    for _ in range(22):
        clock.advance(1)
        ids.append((await made.run(now=now(clock))).execution_id)
    assert await either_store.read(stored_bytes) == 22 * 400

    assert await sweep(made) == 17
    assert await either_store.read(stored_bytes) == 5 * 400
    kept = [(await made.executor.service.get(one)).output_removed for one in ids]
    assert kept == [True] * 17 + [False] * 5
    swept = [event for event in await made.events() if event[0] == "executions.swept"]
    assert swept == [("executions.swept", "output_size", "")] * 2

    async def files(connection: AsyncConnection) -> int:
        return int(await connection.scalar(select(func.count()).select_from(execution_files)) or 0)

    assert await either_store.read(files) == 5


async def test_what_was_put_down_for_an_execution_that_has_ended_goes(
    either_store: Database, tmp_path: Path
) -> None:
    made = made_with(either_store, tmp_path, clock := ManualClock())
    execution_id = (await made.run(now=now(clock))).execution_id

    async def put(connection: AsyncConnection) -> None:
        await connection.execute(
            insert(running_output).values(execution_id=execution_id, stream="stdout", start=0, content=b"x")
        )
        await connection.execute(insert(running_progress).values(execution_id=execution_id, wall_seconds=1))

    await either_store.write(put)
    assert len(await made.executor.service.stored_output(execution_id, Position())) == 1
    assert await sweep(made) == 0
    assert await made.executor.service.stored_output(execution_id, Position()) == ()
