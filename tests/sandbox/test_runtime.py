"""What the engine starts containers with, where the operator names it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_container import Runtime
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox
from executor_mcp.sandbox.settings import PoolSettings
from executor_mcp.settings import WarmPoolSettings
from tests.sandbox.support import make_job, run, until

INSTANCE = f"runtime-{os.getpid()}"


class WatchedEngine(DockerEngine):
    """A real engine; keeps which runtime each container with an interpreter was asked for with."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_for: list[str | None] = []

    async def create(
        self,
        image: str,
        command: list[str],
        *,
        host: Mapping[str, Any],
        container: Mapping[str, Any],
        unmasked: bool = False,
    ) -> str:
        if command[0] == "python3":
            self.asked_for.append(host.get("runtime"))
        return await super().create(image, command, host=host, container=container, unmasked=unmasked)


@pytest.mark.parametrize("name", ["runc", None])
@pytest.mark.usefixtures("docker_image")
async def test_every_container_is_started_with_the_runtime_that_is_named(name: str | None) -> None:
    engine = WatchedEngine()
    cold = DockerSandbox(engine, runtime=Runtime(name), instance=INSTANCE)
    sandbox = PooledDockerSandbox(engine, cold, PoolSettings(minimum=1))
    try:
        await cold.discard(await cold.prepare(make_job("python", "1")))
        assert engine.asked_for == [name]
        await sandbox.remove_leftovers()
        await until(lambda: sandbox.report().ready == 1, "a container waits")
        assert (await run(sandbox, "python", "6 * 7")).result_json == b"42"
        assert sandbox.report().served_warm == 1
        assert (await sandbox.describe()).runtime == (name or (await engine.facts()).default_runtime)
    finally:
        await sandbox.close()
    assert len(engine.asked_for) > 2
    assert set(engine.asked_for) == {name}


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
