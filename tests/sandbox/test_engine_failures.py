"""An engine that is stopped, hangs, is slow or lacks the image: clear refusals, the token unspent, service by
itself once it is back. The engine itself goes on for everybody else: a proxy before it fails.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from executor_mcp.errors import RefusalReason, Refused
from executor_mcp.models import ExecutionStatus
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import INSTANCE_LABEL, DockerSandbox
from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox
from executor_mcp.sandbox.settings import PoolSettings
from server_kit.database.opening import open_database
from tests.emulators.engine_proxy import EngineProxy
from tests.executor.support import PROGRAM, Bench, bench, counts, create_tables

# The SDK leaves the sockets of an engine that went away to the garbage collector, which warns.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

INSTANCE = f"failing-{os.getpid()}"
CALL_SECONDS = 2.0


@dataclass
class House:
    """An executor whose engine is behind the proxy, with one container warm or none."""

    made: Bench
    proxy: EngineProxy
    sandbox: Any

    async def refused(self, token: str) -> Refused:
        before = await counts(self.made.database)
        with pytest.raises(Refused) as caught:
            async with asyncio.timeout(30):
                await self.made.executor.service.execute(token, None)
        assert await counts(self.made.database) == before
        assert caught.value.retryable
        return caught.value

    async def runs(self, token: str, *, within: float = 60) -> None:
        """By itself again, at the latest after the pool's pause."""
        service = self.made.executor.service
        async with asyncio.timeout(within):
            while True:
                try:
                    execution = await service.get(await service.execute(token, None), wait_seconds=30)
                except Refused as refusal:
                    if not refusal.retryable:
                        raise
                    await asyncio.sleep(0.1)
                    continue
                assert execution.status is ExecutionStatus.COMPLETED, execution.outcome
                return


@pytest_asyncio.fixture(params=["warm", "cold"])
async def house(
    request: pytest.FixtureRequest,
    docker_image: str,
    tmp_path: Path,
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[House]:
    proxy = EngineProxy(tmp_path / "engine.sock")
    await proxy.restore()
    monkeypatch.setenv("DOCKER_HOST", proxy.address)
    engine = DockerEngine(CALL_SECONDS)
    sandbox: Any = DockerSandbox(engine, image=docker_image, instance=INSTANCE)
    if request.param == "warm":
        sandbox = PooledDockerSandbox(engine, sandbox, PoolSettings(minimum=1, maximum=1))
    database = await open_database(sqlite_url)
    await create_tables(database)
    made = bench(database, tmp_path, sandbox=sandbox)
    await sandbox.remove_leftovers()
    yield House(made, proxy, sandbox)
    await proxy.restore()
    await made.executor.service.close()
    await sandbox.close()
    await database.close()
    await proxy.cut()
    gc.collect()


@pytest.mark.timeout(300)
async def test_an_engine_that_stops_hangs_and_comes_back_costs_no_token_and_no_restart(house: House) -> None:
    token = house.made.issuer.token()
    await house.runs(house.made.issuer.token())

    await house.proxy.cut()
    if not isinstance(house.sandbox, PooledDockerSandbox):
        refusal = await house.refused(token)
        assert refusal.reason is RefusalReason.SANDBOX_UNAVAILABLE
        assert "no Docker engine answers" in refusal.detail
        assert "unspent" in refusal.detail
    await house.proxy.restore()
    await house.runs(token)

    token = house.made.issuer.token()
    house.proxy.stall()
    if not isinstance(house.sandbox, PooledDockerSandbox):
        refusal = await house.refused(token)
        assert "2 s" in refusal.detail or "timed out" in refusal.detail.lower()
    await house.proxy.restore()
    await house.runs(token)

    house.proxy.delay_seconds = 0.1
    await house.runs(house.made.issuer.token())
    house.proxy.delay_seconds = 0.0

    # Cut under a program that runs: it ends one way or another, once, and the next one runs.
    slow = {**PROGRAM, "language": "python", "code": "import time; time.sleep(0.5); print('done')"}
    service = house.made.executor.service
    running = await service.execute(house.made.issuer.token(slow), None)
    await house.proxy.cut()
    ended = await service.get(running, wait_seconds=60)
    assert ended.status in {ExecutionStatus.COMPLETED, ExecutionStatus.FAILED}
    assert ended.receipt is not None
    await house.proxy.restore()
    await house.runs(house.made.issuer.token())


@pytest.mark.timeout(120)
async def test_an_image_that_is_missing_is_named_with_its_remedy_and_used_once_it_is_there(
    docker_image: str, sqlite_url: str, tmp_path: Path
) -> None:
    engine = DockerEngine()
    name = f"hitl-absent-{os.getpid()}:latest"
    sandbox: Any = DockerSandbox(engine, image=name, instance=INSTANCE)
    database = await open_database(sqlite_url)
    await create_tables(database)
    made = bench(database, tmp_path, sandbox=sandbox)
    house = House(made, EngineProxy(tmp_path / "unused"), sandbox)
    token = made.issuer.token()
    try:
        refusal = await house.refused(token)
        assert refusal.reason is RefusalReason.SANDBOX_UNAVAILABLE
        assert name in refusal.detail
        assert "hitl-executor image build" in refusal.detail
        await engine._call(lambda client: client.tag(docker_image, *name.split(":")))  # pyright: ignore[reportPrivateUsage]
        await house.runs(token)
    finally:
        await engine._call(lambda client: client.remove_image(name, force=True))  # pyright: ignore[reportPrivateUsage]
        await made.executor.service.close()
        await sandbox.close()
        await database.close()


async def test_nothing_of_these_executors_is_left_on_the_engine(docker_image: str) -> None:
    engine = DockerEngine()
    try:
        found = await engine.labelled(INSTANCE_LABEL, INSTANCE, "hitl.sandbox.owner")
        for one in found:
            await engine.remove(one.container_id)
        assert [one for one in found if one.running] == []
    finally:
        await engine.close()
