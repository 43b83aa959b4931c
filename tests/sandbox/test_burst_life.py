"""What only the burst tier has: outer containers that are shared, replaced, and destroyed when odd."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from executor_mcp.sandbox.burst.execution import BurstExecution
from executor_mcp.sandbox.burst.sandbox import BurstSandbox
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import INSTANCE_LABEL, OWNER_LABEL
from executor_mcp.sandbox.supervised import PreparedSandbox
from tests.attacks.sandbox import host
from tests.sandbox.burst_support import SETTINGS, OfOneAgent, make_burst
from tests.sandbox.support import Recorder, begin, make_job, result_of, run, until

pytestmark = pytest.mark.timeout(180)
INSTANCE = f"burst-life-{os.getpid()}"


@pytest.fixture
async def burst(docker_image: str) -> AsyncIterator[BurstSandbox]:
    del docker_image
    sandbox = make_burst(INSTANCE, replace(SETTINGS, max_executions=6, idle_seconds=30))
    yield sandbox
    await sandbox.close()
    assert await containers(INSTANCE) == 0
    assert [place for place in host.control_groups_of(f"_{os.getpid()}_") if "-burst-" in place] == []


async def containers(instance: str) -> int:
    engine = DockerEngine()
    try:
        return len(await engine.labelled(INSTANCE_LABEL, instance, OWNER_LABEL))
    finally:
        await engine.close()


def execution_of(prepared: object) -> BurstExecution:
    assert isinstance(prepared, PreparedSandbox)
    assert isinstance(prepared.channel, BurstExecution)
    return prepared.channel


async def test_agents_have_outer_containers_of_their_own_that_are_replaced_and_whose_programs_share_little(
    burst: BurstSandbox,
) -> None:
    mine, theirs = OfOneAgent(burst), OfOneAgent(burst, "another")
    one, two = [await sandbox.prepare(make_job("bash", "true")) for sandbox in (mine, theirs)]
    assert execution_of(one).container_id != execution_of(two).container_id
    for prepared in (one, two):
        await burst.discard(prepared)
    first, second = await _namespaces_of_two_at_once(mine)
    assert len(first) == 7
    assert not set(first) & set(second)
    code = "import random, secrets, uuid\n[random.random(), secrets.token_hex(8), str(uuid.uuid4())]"
    first, second = [result_of(await run(mine, "python", code)) for _ in range(2)]
    assert not set(first) & set(second)
    drawn = [(await run(mine, "sql", "SELECT hex(randomblob(8))")).result_json for _ in range(2)]
    assert drawn[0] != drawn[1]
    for number in range(12):
        assert (await run(mine, "python", f"{number}")).result_json == str(number).encode()
    await burst.until_quiet()
    report = burst.report()
    assert report is not None
    assert (report.executions, report.condemned) == (20, 0)
    assert 4 <= report.launched <= 5
    assert report.containers == 2


async def test_programs_that_were_not_named_have_their_own_container(burst: BurstSandbox) -> None:
    prepared = await burst.prepare(make_job("python", "6 * 7"))
    assert prepared.backend is None
    assert (await (await burst.start(prepared, Recorder())).wait()).result_json == b"42"
    assert burst.report() is None
    assert (await burst.describe()).burst_profiles == ("restricted", "standard", "trusted")


async def test_what_is_odd_destroys_the_outer_container_and_fails_closed(burst: BurstSandbox) -> None:
    sandbox, sink = OfOneAgent(burst), Recorder()
    neighbour = await begin(sandbox, make_job("bash", "echo up; sleep 600", wall_seconds=600), sink)
    await asyncio.wait_for(sink.first.wait(), 20)
    prepared = await sandbox.prepare(make_job("bash", "echo up; sleep 600", wall_seconds=600))
    sink = Recorder()
    running = await sandbox.start(prepared, sink)
    await asyncio.wait_for(sink.first.wait(), 20)
    # Its supervisor ends without a word, which no sound one does.
    execution_of(prepared).own_process.kill()
    for run_of in (running, neighbour):
        outcome = await asyncio.wait_for(run_of.wait(), 20)
        assert outcome.termination == "sandbox_failed"
    await burst.until_quiet()
    report = burst.report()
    assert report is not None
    assert (report.condemned, report.containers) == (1, 0)
    assert report.problem == "an execution ended without a report"
    assert (await run(sandbox, "python", "1")).result_json == b"1"


async def _namespaces_of_two_at_once(sandbox: OfOneAgent) -> tuple[list[str], list[str]]:
    kinds = "pid mnt net ipc uts user cgroup"
    look = f"cd /proc/self/ns; for kind in {kinds}; do readlink $kind; done"
    sink = Recorder()
    running = await begin(sandbox, make_job("bash", look + "; sleep 600", wall_seconds=600), sink)
    await until(lambda: sink.out.count(b"\n") == 7, "the first one has looked")
    second = (await run(sandbox, "bash", look)).stdout
    await running.cancel()
    return sink.out.decode().split(), second.decode().split()
