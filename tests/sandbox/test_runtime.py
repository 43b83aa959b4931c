"""What the engine starts containers with, where the operator names it."""

from __future__ import annotations

import json
import os

import pytest

from benchmarks.raw_docker import command
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_container import Runtime
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox
from executor_mcp.sandbox.settings import PoolSettings
from executor_mcp.settings import WarmPoolSettings
from tests.sandbox.support import make_job, run

INSTANCE = f"runtime-{os.getpid()}"
ANOTHER = "io.containerd.runc.v2"
"""Every engine has this name beside `runc`, which is its default."""


async def runtimes_of_living() -> set[str]:
    of_this = f"label=hitl.sandbox.instance={INSTANCE}"
    listed = (await command("docker", "ps", "-q", "--filter", of_this)).decode().split()
    facts = json.loads(await command("docker", "inspect", *listed))
    return {each["HostConfig"]["Runtime"] for each in facts if each["Path"] == "python3"}


@pytest.mark.usefixtures("docker_image")
async def test_every_container_is_started_with_the_runtime_that_is_named() -> None:
    engine = DockerEngine()
    cold = DockerSandbox(engine, runtime=Runtime(ANOTHER), instance=INSTANCE)
    sandbox = PooledDockerSandbox(engine, cold, PoolSettings(minimum=1))
    try:
        described = await sandbox.describe()
        assert (described.backend, described.runtime) == ("docker", ANOTHER)
        prepared = await cold.prepare(make_job("python", "1"))
        assert await runtimes_of_living() == {ANOTHER}
        await cold.discard(prepared)
        await sandbox.remove_leftovers()
        await sandbox.until_idle(1)
        assert await runtimes_of_living() == {ANOTHER}
        assert (await run(sandbox, "python", "6 * 7")).result_json == b"42"
    finally:
        await sandbox.close()


@pytest.mark.usefixtures("docker_image")
async def test_the_engines_own_runtime_is_called_by_its_name() -> None:
    engine = DockerEngine()
    sandbox = DockerSandbox(engine, instance=INSTANCE)
    try:
        assert (await sandbox.describe()).runtime == (await engine.facts()).default_runtime
    finally:
        await sandbox.close()


async def test_a_runtime_that_the_engine_lacks_is_named_with_those_it_has() -> None:
    sandbox = DockerSandbox(DockerEngine(), runtime=Runtime("no-such"), instance=INSTANCE)
    try:
        health = await sandbox.check()
    finally:
        await sandbox.close()
    assert not health.ready
    assert "no-such" in (health.problem or "")
    assert "runc" in (health.problem or "")
    assert "daemon.json" in (health.remedy or "")


def test_a_pool_that_nobody_configured_is_the_one_that_is_measured() -> None:
    assert WarmPoolSettings().pool() == PoolSettings()
