"""Executors that die with work of the queue in their hands: it is run once, or said to be interrupted."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from executor_mcp.models import ExecutionStatus
from executor_mcp.steps import Step
from executor_mcp.storage.schema import MIGRATIONS
from server_kit.database.migrations import migrate
from server_kit.database.opening import open_database
from tests.executor.support import PROGRAM, Bench, Issuer, bench
from tests.executor.waiting_child import BOUNDS

NOT_BEGUN = [Step.CLAIMED, Step.CLAIMED_AND_PREPARED, Step.BEGUN_NOT_COMMITTED]
BEGUN = [Step.RUN_BEGUN, Step.PROGRAM_STARTED, Step.PROGRAM_ENDED]


@pytest_asyncio.fixture
async def door(postgresql_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    """An executor that takes orders and runs none of them, on tables that were migrated."""
    await migrate(postgresql_url, MIGRATIONS)
    database = await open_database(postgresql_url)
    made = bench(database, tmp_path, bounds=BOUNDS, places=0)
    yield made
    await made.executor.service.close()
    await made.executor.recovery.end()
    await database.close()


async def child(url: str, home: Path, issuer: Issuer, *steps: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.executor.waiting_child",
        url,
        str(home),
        issuer.private.private_bytes_raw().hex(),
        str(home / "started.log"),
        *steps,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


def started(home: Path) -> list[str]:
    log = home / "started.log"
    return log.read_text().split() if log.exists() else []


async def ends(made: Bench, identifiers: list[str]) -> list[ExecutionStatus]:
    service = made.executor.service
    found = await asyncio.gather(*(service.get(one, wait_seconds=60) for one in identifiers))
    return [execution.status for execution in found]


@pytest.mark.timeout(120)
async def test_what_waits_survives_executors_that_are_killed_at_every_step_and_runs_once(
    postgresql_url: str, tmp_path: Path, door: Bench
) -> None:
    issuer = door.issuer
    lost = door.issuer.token()
    kept = door.issuer.token()
    (tmp_path / f"token-{Step.QUEUED_NOT_COMMITTED.value}").write_text(lost)
    (tmp_path / f"token-{Step.QUEUED.value}").write_text(kept)
    steps = [*NOT_BEGUN, *BEGUN]
    waiting = [await door.executor.service.execute(issuer.token(PROGRAM), None) for _ in steps]
    killed = [*steps, Step.QUEUED_NOT_COMMITTED, Step.QUEUED]
    process = await child(postgresql_url, tmp_path, issuer, *(step.value for step in killed))
    await process.communicate()
    # The last of them is the process itself; the others were its children.
    assert process.returncode == -signal.SIGKILL
    # Each took the oldest that nobody had claimed, so they are in the order of the steps.
    begun = waiting[len(NOT_BEGUN) :]
    assert started(tmp_path) == begun[1:]

    peer = bench(door.database, tmp_path, issuer=issuer, bounds=BOUNDS)
    assert await peer.executor.recovery.begin() == len(BEGUN)
    working = asyncio.create_task(peer.executor.worker.run())
    assert await ends(peer, begun) == [ExecutionStatus.INTERRUPTED] * len(BEGUN)
    taken_over = waiting[: len(NOT_BEGUN)]
    assert await ends(peer, taken_over) == [ExecutionStatus.COMPLETED] * len(NOT_BEGUN)
    # Spent before the kill: it is in the queue, and was run by the peer.
    with pytest.raises(Exception, match="already executed as") as caught:
        await peer.executor.service.execute(kept, None)
    assert await ends(peer, [caught.value.execution_id]) == [ExecutionStatus.COMPLETED]  # type: ignore[attr-defined]
    # Not spent before the kill: it may be used still.
    again = await peer.executor.service.execute(lost, None)
    assert await ends(peer, [again]) == [ExecutionStatus.COMPLETED]
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await peer.executor.recovery.end()

    assert sorted(peer.sandbox.started) == sorted([*taken_over, caught.value.execution_id, again])  # type: ignore[attr-defined]
    events = await peer.events()
    for execution_id in [*waiting, again]:
        begins = [one for one in events if one[:2] == ("execution.started", execution_id)]
        assert len(begins) == 1
    report = await peer.executor.ledger.audit.verify(peer.executor.receipt_key.public_keys())
    assert report.intact


@pytest.mark.timeout(120)
async def test_of_three_executors_of_which_one_is_killed_each_execution_is_begun_by_one(
    postgresql_url: str, tmp_path: Path, door: Bench
) -> None:
    issuer = door.issuer
    workers = [await child(postgresql_url, tmp_path, issuer, "work") for _ in range(3)]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert await worker.stdout.readline() == b"ready\n"
        waiting: list[str] = []
        for number in range(16):
            waiting.append(await door.executor.service.execute(issuer.token(PROGRAM), None))
            if number == 8:
                workers[0].kill()
        await workers[0].wait()
        # What it had claimed is another's once somebody sees that it is dead.
        await door.executor.recovery.begin()
        found = await ends(door, waiting)
        ran = started(tmp_path)
        assert len(set(ran)) == len(ran)
        assert set(found) <= {ExecutionStatus.COMPLETED, ExecutionStatus.INTERRUPTED}
        done = {
            one for one, status in zip(waiting, found, strict=True) if status is ExecutionStatus.COMPLETED
        }
        assert done <= set(ran)
        assert len(done) >= len(waiting) - 2
    finally:
        for worker in workers[1:]:
            await worker.communicate(b"\n")
