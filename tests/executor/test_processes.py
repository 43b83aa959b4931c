"""Several executor processes on one database, and processes that die at every named step."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from executor_mcp.errors import Refused
from executor_mcp.models import ExecutionStatus
from executor_mcp.steps import Step
from executor_mcp.storage.schema import MIGRATIONS
from server_kit.database.migrations import migrate
from server_kit.database.opening import open_database
from tests.executor.support import PROGRAM, Bench, Issuer, bench

BEFORE_THE_SPEND = {
    Step.TOKEN_VERIFIED,
    Step.ACTION_CHECKED,
    Step.SANDBOX_PREPARED,
    Step.SPENT_NOT_COMMITTED,
    Step.AUDITED_NOT_COMMITTED,
}
OF_THE_QUEUE = {
    Step.QUEUED_NOT_COMMITTED,
    Step.QUEUED,
    Step.CLAIMED,
    Step.CLAIMED_AND_PREPARED,
    Step.BEGUN_NOT_COMMITTED,
}
BEFORE_THE_PROGRAM = {*BEFORE_THE_SPEND, Step.ADMITTED, Step.RUN_BEGUN}


async def start(
    url: str, home: Path, issuer: Issuer, tokens: list[str], *, step: str = "none"
) -> asyncio.subprocess.Process:
    (home / "tokens").write_text("\n".join(tokens))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.executor.child",
        url,
        str(home),
        issuer.private.private_bytes_raw().hex(),
        str(home / "started.log"),
        step,
        str(home / "tokens"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def end(*executors: Bench) -> None:
    for made in executors:
        await made.executor.service.close()
        await made.executor.recovery.end()


def started(home: Path) -> list[str]:
    log = home / "started.log"
    return log.read_text().split() if log.exists() else []


@pytest.mark.timeout(180)
async def test_of_a_hundred_uses_of_one_token_over_four_processes_one_runs(
    database_url: str, tmp_path: Path
) -> None:
    await migrate(database_url, MIGRATIONS)
    issuer = Issuer()
    token = issuer.token(PROGRAM)
    processes = await asyncio.gather(*(start(database_url, tmp_path, issuer, [token] * 25) for _ in range(4)))
    answers = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))

    results = [result for out, _ in answers for result in json.loads(out)]
    ran = [result for result in results if "status" in result]
    refused = [result for result in results if "refused" in result]
    assert len(results) == 100
    assert [result["status"] for result in ran] == ["completed"]
    assert {(one["refused"], one["execution_id"]) for one in refused} == {
        ("already_used", ran[0]["execution_id"])
    }
    assert started(tmp_path) == [ran[0]["execution_id"]]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("step", [step for step in Step if step not in OF_THE_QUEUE])
async def test_a_process_killed_at_any_step_never_runs_a_program_twice_nor_loses_its_record(
    database_url: str, tmp_path: Path, step: Step
) -> None:
    await migrate(database_url, MIGRATIONS)
    issuer = Issuer()
    token = issuer.token(PROGRAM)
    process = await start(database_url, tmp_path, issuer, [token], step=step.value)
    await process.communicate(b"go\n")
    assert process.returncode == -signal.SIGKILL
    runs_before = len(started(tmp_path))

    database = await open_database(database_url)
    made = bench(database, tmp_path, issuer=issuer)
    await made.executor.recovery.begin()
    try:
        await _after_the_crash(made, token, step, runs_before)
        report = await made.executor.ledger.audit.verify(made.executor.receipt_key.public_keys())
        assert report.intact
    finally:
        await made.executor.service.close()
        await made.executor.recovery.end()
        await database.close()


async def _after_the_crash(made: Bench, token: str, step: Step, runs_before: int) -> None:
    service = made.executor.service
    if step in BEFORE_THE_SPEND:
        assert runs_before == 0
        assert await made.counts() == (0, 0)
        execution = await service.get(await service.execute(token, None), wait_seconds=10)
        assert execution.status is ExecutionStatus.COMPLETED
        return
    with pytest.raises(Refused) as caught:
        await service.execute(token, None)
    assert caught.value.reason == "already_used"
    assert made.sandbox.started == []
    assert runs_before == (0 if step in BEFORE_THE_PROGRAM else 1)
    assert caught.value.execution_id is not None
    execution = await service.get(caught.value.execution_id)
    ended = step is Step.OUTCOME_RECORDED
    assert execution.status is (ExecutionStatus.COMPLETED if ended else ExecutionStatus.INTERRUPTED)
    assert execution.receipt is not None
    events = [name for name, subject, _ in await made.events() if subject == execution.execution_id]
    assert events == ["execution.started", "execution.finished" if ended else "execution.interrupted"]


async def test_an_execution_of_a_living_process_is_left_alone(database_url: str, tmp_path: Path) -> None:
    await migrate(database_url, MIGRATIONS)
    database = await open_database(database_url)
    other_home = tmp_path / "other"
    first = bench(database, tmp_path)
    second = bench(database, other_home, issuer=first.issuer)
    first.sandbox.hold = True
    try:
        await first.executor.recovery.begin()
        execution_id = await first.executor.service.execute(first.issuer.token(), None)

        assert await second.executor.recovery.begin() == 0
        assert not (await second.executor.service.get(execution_id)).status.is_final
    finally:
        await end(first, second)
        await database.close()


async def test_an_execution_whose_owners_lease_ran_out_is_interrupted_by_another_host(
    database_url: str, tmp_path: Path
) -> None:
    await migrate(database_url, MIGRATIONS)
    database = await open_database(database_url)
    first = bench(database, tmp_path, lease_seconds=0.0)
    second = bench(database, tmp_path / "other", issuer=first.issuer)
    first.sandbox.hold = True
    try:
        await first.executor.recovery.begin()
        execution_id = await first.executor.service.execute(first.issuer.token(), None)

        assert await second.executor.recovery.begin() == 1
        assert (await second.executor.service.get(execution_id)).status is ExecutionStatus.INTERRUPTED

        # The first process was only slow: its late end changes nothing that was said already.
        first.sandbox.runs[0].end(first.sandbox.outcome)
        await first.executor.service.close()
        assert (await second.executor.service.get(execution_id)).status is ExecutionStatus.INTERRUPTED
        assert (await second.events())[-1][0] == "execution.late_end_discarded"
    finally:
        await end(first, second)
        await database.close()


async def test_an_execution_is_cancelled_from_another_process(database_url: str, tmp_path: Path) -> None:
    await migrate(database_url, MIGRATIONS)
    owner_database, other_database = await open_database(database_url), await open_database(database_url)
    owner = bench(owner_database, tmp_path)
    other = bench(other_database, tmp_path / "other", issuer=owner.issuer)
    owner.sandbox.hold = True
    try:
        await owner.executor.recovery.begin()
        execution_id = await owner.executor.service.execute(owner.issuer.token(), None)
        await other.executor.service.cancel(execution_id)

        execution = await other.executor.service.get(execution_id, wait_seconds=10)
        assert execution.status is ExecutionStatus.CANCELLED
        assert execution.outcome is not None
        assert execution.outcome.stdout == b"partial"
    finally:
        await end(owner)
        await owner_database.close()
        await other_database.close()
