"""Containers whose creation or removal the engine did not answer for: gone soon after, without a restart."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from executor_mcp.errors import RefusalReason, Refused
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import INSTANCE_LABEL, OWNER_LABEL, DockerSandbox
from executor_mcp.sandbox.errors import SandboxFailed, SandboxUnavailable
from executor_mcp.sandbox.strays import Strays
from server_kit.database.base import Database
from tests.emulators.engine_proxy import EngineProxy
from tests.executor.conftest import store
from tests.executor.support import bench, counts
from tests.sandbox.support import ANSWER_SECONDS

__all__ = ["store"]

# The SDK leaves the sockets of an engine that went away to the garbage collector, which warns.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

INSTANCE = f"strays-{os.getpid()}"
CALL_SECONDS = 3.0


@dataclass
class Late:
    """An engine that can be made not to answer, and one on the straight way to the same containers."""

    proxy: EngineProxy
    engine: DockerEngine
    straight: DockerEngine
    image: str

    async def create(self) -> str:
        return await self.engine.create(
            self.image, ["sleep", "600"], host={}, container={"labels": {INSTANCE_LABEL: INSTANCE}}
        )

    async def there(self) -> int:
        return len(await self.straight.labelled(INSTANCE_LABEL, INSTANCE, OWNER_LABEL))

    async def until(self, number: int) -> None:
        await eventually(self.there, number)


async def eventually(look: Callable[[], Awaitable[int]], expected: int) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while (found := await look()) != expected:
        assert time.monotonic() < deadline, f"{found}, not {expected}"
        await asyncio.sleep(0.02)


@pytest_asyncio.fixture
async def late(docker_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Late]:
    straight = DockerEngine()
    proxy = EngineProxy(tmp_path / "engine.sock")
    await proxy.restore()
    await straight.facts()
    monkeypatch.setenv("DOCKER_HOST", proxy.address)
    made = Late(proxy, DockerEngine(CALL_SECONDS), straight, docker_image)
    yield made
    await proxy.restore()
    await made.engine.close()
    left = await made.there()
    await straight.close()
    await proxy.cut()
    gc.collect()
    assert left == 0


async def test_a_creation_that_is_answered_too_late_costs_no_token_and_leaves_no_container(
    late: Late, store: Database, tmp_path: Path
) -> None:
    made = bench(store, tmp_path, sandbox=DockerSandbox(late.engine, image=late.image, instance=INSTANCE))
    token = made.issuer.token()
    await late.engine.image_id(late.image)
    late.proxy.unanswered = b"/containers/create"
    before = await counts(store)
    with pytest.raises(Refused) as caught:
        await made.executor.service.execute(token, None)
    assert (caught.value.reason, caught.value.retryable) == (RefusalReason.SANDBOX_UNAVAILABLE, True)
    assert await counts(store) == before
    # The engine made it all the same, and answers for everything else.
    assert await late.there() == 1
    await late.until(0)
    late.proxy.unanswered = None
    execution = await made.executor.service.execute(token, None)
    assert (await made.executor.service.get(execution, wait_seconds=30)).status == "completed"
    await made.executor.service.close()
    await late.until(0)


async def test_what_was_being_created_for_a_caller_that_went_away_is_removed(late: Late) -> None:
    await late.engine.facts()
    late.proxy.unanswered = b"/containers/create"
    creating = asyncio.create_task(late.create())
    await late.until(1)
    creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)
    await late.until(0)


async def test_what_a_hanging_engine_did_not_remove_is_removed_when_it_answers_again(late: Late) -> None:
    first, second = await late.create(), await late.create()
    late.proxy.stall()
    with pytest.raises(SandboxUnavailable):
        await late.engine.remove(first)
    removing = asyncio.create_task(late.engine.remove(second))
    await asyncio.sleep(0)
    removing.cancel()
    await asyncio.gather(removing, return_exceptions=True)
    await late.proxy.cut()
    assert await late.there() == 2
    await late.proxy.restore()
    await late.until(0)


async def test_a_creation_is_awaited_as_long_as_said_and_a_failed_removal_until_it_is_no_more() -> None:
    answers: dict[str, list[bool | Exception]] = {
        "late": [SandboxUnavailable("hangs"), False, True],
        "never": [False] * 200,
        "kept": [SandboxFailed("busy"), SandboxFailed("busy"), True],
        "gone": [False],
    }
    asked: list[str] = []

    async def remove(reference: str) -> bool:
        asked.append(reference)
        answer = answers[reference].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    strays = Strays(remove, look_seconds=0.001, late_seconds=0.2)
    strays.not_answered("late")
    strays.not_answered("never")
    strays.not_removed("kept")
    strays.not_removed("gone")

    async def left() -> int:
        return len(strays)

    await eventually(left, 0)
    assert asked[:2] == ["late", "late"]
    assert {name: asked.count(name) for name in ("late", "kept", "gone")} == {"late": 3, "kept": 3, "gone": 1}
    assert asked.count("never") > 3

    answers["last"] = [True]
    strays.not_removed("last")
    await strays.close()
    assert len(strays) == 0
    assert answers["last"] == []
