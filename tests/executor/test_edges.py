"""Where time, other processes or strange input could make a record or a refusal untrue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.errors import InvalidArgument, OutputFileNotFound, RefusalReason, Refused
from executor_mcp.models import ExecutionStatus
from executor_mcp.receipts import verify_receipt
from executor_mcp.steps import Step
from executor_mcp.storage.schema import executor_processes
from server_kit.database.base import Database
from tests.executor.support import Bench, TwinSandbox, bench, eventually, outcome


class SettableClock:
    """The system's clock, shifted as a test wants."""

    def __init__(self) -> None:
        self.shift = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift


class AtStep:
    """Does something when the executor comes to a step."""

    def __init__(self, step: Step, action: Callable[[], None]) -> None:
        self._step = step
        self._action = action

    async def reached(self, step: Step) -> None:
        if step is self._step:
            self._action()


async def test_a_token_that_expires_while_it_waits_for_its_place_is_refused_unspent(
    store: Database, tmp_path: Path
) -> None:
    clock = SettableClock()

    def too_late() -> None:
        clock.shift = timedelta(seconds=400)

    made = bench(store, tmp_path, clock=clock, steps=AtStep(Step.SANDBOX_PREPARED, too_late))
    with pytest.raises(Refused) as caught:
        await made.run()

    assert caught.value.reason is RefusalReason.EXPIRED
    assert (await made.counts(), made.sandbox.started, made.sandbox.discarded) == ((0, 0), [], 1)


async def test_the_receipt_names_the_image_that_ran_when_its_tag_was_moved_meanwhile(
    store: Database, tmp_path: Path
) -> None:
    sandbox = TwinSandbox()
    rebuilt = "sha256:" + "b" * 64

    def rebuild() -> None:
        sandbox.image = rebuilt

    made = bench(store, tmp_path, sandbox=sandbox, steps=AtStep(Step.ACTION_CHECKED, rebuild))
    execution = await made.run()

    assert execution.receipt is not None
    receipt = verify_receipt(execution.receipt, made.executor.receipt_key.public_keys())
    assert (execution.sandbox.image_digest, receipt.image_digest) == (rebuilt, rebuilt)


async def test_a_process_that_was_taken_for_dead_gives_signs_of_life_again(
    either_store: Database, tmp_path: Path
) -> None:
    paused = bench(either_store, tmp_path / "paused", sandbox=TwinSandbox(hold=True), heartbeat_seconds=0.01)
    other = bench(either_store, tmp_path / "other")
    await paused.executor.recovery.begin()
    await other.executor.recovery.begin()
    await _forget_everybody(either_store)
    heartbeat = asyncio.create_task(paused.executor.recovery.run())
    execution_id = await paused.executor.service.execute(paused.issuer.token(), None)
    await eventually(lambda: bool(paused.sandbox.runs))
    async with asyncio.timeout(10):
        while not await _is_registered(either_store):  # noqa: ASYNC110 - what is waited for is in the database
            await asyncio.sleep(0.01)

    assert await other.executor.recovery.recover() == 0
    paused.sandbox.runs[0].end(outcome())
    execution = await paused.executor.service.get(execution_id, wait_seconds=10)
    heartbeat.cancel()
    assert execution.status is ExecutionStatus.COMPLETED
    await _end(paused, other)


async def test_a_database_clock_that_jumps_ahead_interrupts_no_process_that_holds_its_lock(
    store: Database, tmp_path: Path
) -> None:
    running = bench(store, tmp_path, sandbox=TwinSandbox(hold=True))
    neighbour = bench(store, tmp_path)
    await running.executor.recovery.begin()
    await neighbour.executor.recovery.begin()
    execution_id = await running.executor.service.execute(running.issuer.token(), None)
    await eventually(lambda: bool(running.sandbox.runs))
    await _end_all_leases(store)

    assert await neighbour.executor.recovery.recover() == 0
    running.sandbox.runs[0].end(outcome())
    execution = await running.executor.service.get(execution_id, wait_seconds=10)
    assert execution.status is ExecutionStatus.COMPLETED
    await _end(running, neighbour)


@pytest.mark.parametrize("path", ["a\x00b", "\ud800"], ids=["nul", "lone_surrogate"])
async def test_a_path_that_no_database_takes_is_a_file_that_is_not_there(
    either_store: Database, tmp_path: Path, path: str
) -> None:
    made = bench(either_store, tmp_path)
    execution = await made.run()
    with pytest.raises(OutputFileNotFound):
        await made.executor.service.output_file(execution.execution_id, path)


@pytest.mark.parametrize("cursor", ["MTow", "MToA", "MTrtoIA=", "MTox\x00", "OTk5OTk5OTk5OTk5OTk5OTk5OjA="])
async def test_a_cursor_that_is_not_ours_is_refused(
    either_store: Database, tmp_path: Path, cursor: str
) -> None:
    with pytest.raises(InvalidArgument):
        await bench(either_store, tmp_path).executor.service.list_of_agent("agent-1", cursor=cursor)


async def _end(*benches: Bench) -> None:
    for made in benches:
        await made.executor.service.close()
        await made.executor.recovery.end()


async def _forget_everybody(database: Database) -> None:
    async def write(connection: AsyncConnection) -> None:
        await connection.execute(delete(executor_processes))

    await database.write(write)


async def _end_all_leases(database: Database) -> None:
    async def write(connection: AsyncConnection) -> None:
        await connection.execute(update(executor_processes).values(alive_until=0))

    await database.write(write)


async def _is_registered(database: Database) -> bool:
    async def read(connection: AsyncConnection) -> bool:
        return (await connection.execute(executor_processes.select())).first() is not None

    return await database.read(read)


async def test_where_a_program_ran_is_recorded_as_its_sandbox_says_and_told_for_whom(
    store: Database, tmp_path: Path
) -> None:
    made = bench(store, tmp_path, sandbox=TwinSandbox(backend="burst"))
    execution = await made.run()
    assert execution.receipt is not None
    receipt = verify_receipt(execution.receipt, made.executor.receipt_key.public_keys())
    assert (execution.sandbox.backend, receipt.backend) == ("burst", "burst")
    assert made.sandbox.principals == [execution.agent]
