"""Who gets a container, who waits and who is sent away, with an engine that does what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from executor_mcp.sandbox.errors import SandboxBusy, SandboxUnavailable
from executor_mcp.sandbox.pool.classes import WarmClass
from executor_mcp.sandbox.pool.container import WarmContainer
from executor_mcp.sandbox.pool.warm_pool import WarmPool
from executor_mcp.sandbox.settings import PoolSettings
from hitl_contract.action_code import Limits
from tests.sandbox.support import until

USUAL = WarmClass.of("sha256:image", Limits())
OTHER = WarmClass.of("sha256:image", Limits(memory_mb=512))
NEWER = WarmClass.of("sha256:newer", Limits())


class FakeContainer:
    def __init__(self, kind: WarmClass) -> None:
        self.kind = kind
        self.is_alive = True
        self.ended: Callable[[], None] = lambda: None

    def watch(self, *, ended: Callable[[], None], released: Callable[[], None]) -> None:
        del released
        self.ended = ended

    def die(self) -> None:
        self.is_alive = False
        self.ended()


class FakeLauncher:
    """Launches when `gate` is open; counts how many are under way."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.made: list[FakeContainer] = []
        self.removed: list[FakeContainer] = []
        self.under_way = self.most_under_way = 0
        self.problem: str | None = None
        self.failures_left = 1_000_000

    async def launch(self, kind: WarmClass) -> WarmContainer:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.gate.wait()
            if self.problem is not None and self.failures_left:
                self.failures_left -= 1
                raise SandboxUnavailable(self.problem)
        finally:
            self.under_way -= 1
        self.made.append(FakeContainer(kind))
        return cast("WarmContainer", self.made[-1])

    async def end(self, container: WarmContainer) -> None:
        del container

    async def remove(self, container: WarmContainer) -> None:
        self.removed.append(cast("FakeContainer", container))

    async def close(self) -> None:
        assert set(self.removed) == set(self.made)


@pytest.fixture
def launcher() -> FakeLauncher:
    return FakeLauncher()


def pool_of(launcher: FakeLauncher, **settings: float) -> WarmPool:
    return WarmPool(launcher, PoolSettings(**{"minimum": 2, "maximum": 4, **settings}))  # type: ignore[arg-type]


async def test_the_minimum_waits_and_no_more_are_made_at_a_time_than_the_budget(
    launcher: FakeLauncher,
) -> None:
    launcher.gate.clear()
    pool = pool_of(launcher, minimum=4, launches_at_a_time=2)
    pool.keep(USUAL)
    await until(lambda: launcher.under_way > 1, "two are being made")
    launcher.gate.set()
    await pool.until_idle(4)
    assert launcher.most_under_way == 2
    await pool.close()


async def test_no_container_is_handed_out_twice_and_all_are_removed(launcher: FakeLauncher) -> None:
    pool = pool_of(launcher)
    pool.keep(USUAL)
    taken = [await pool.take(USUAL) for _ in range(10)]
    assert None not in taken
    assert len(set(taken)) == 10
    (usual,) = pool.report().kinds
    assert (usual.kind, usual.minimum, usual.taken, usual.waiting_callers) == (USUAL, 2, 10, 0)
    for container in taken:
        assert container is not None
        pool.release(container)
        pool.release(container)
    await pool.close()
    assert len(launcher.removed) == len(launcher.made)


async def test_who_finds_none_waits_for_the_next_in_the_order_of_coming(launcher: FakeLauncher) -> None:
    launcher.gate.clear()
    pool = pool_of(launcher)
    pool.keep(USUAL)
    order: list[int] = []

    async def caller(number: int) -> None:
        await pool.take(USUAL)
        order.append(number)

    callers = [asyncio.create_task(caller(number)) for number in range(3)]
    await asyncio.sleep(0.05)
    assert order == []
    launcher.gate.set()
    await asyncio.wait_for(asyncio.gather(*callers), 10)
    assert order == [0, 1, 2]
    await pool.close()


async def test_more_than_the_queue_holds_are_told_so_at_once_and_how_long(launcher: FakeLauncher) -> None:
    launcher.gate.clear()
    pool = pool_of(launcher, most_waiting=1)
    pool.keep(USUAL)
    first = asyncio.create_task(pool.take(USUAL))
    await asyncio.sleep(0.02)
    with pytest.raises(SandboxBusy, match=r"1 callers wait .* try again in about \d+ s") as refusal:
        await pool.take(USUAL)
    assert refusal.value.wait_seconds > 0
    launcher.gate.set()
    assert await asyncio.wait_for(first, 10) is not None
    await pool.close()


async def test_patience_has_an_end_and_a_caller_that_goes_away_costs_no_container(
    launcher: FakeLauncher,
) -> None:
    pool = pool_of(launcher, patience_seconds=1.0)
    pool.keep(USUAL)
    await pool.until_idle(2)
    launcher.gate.clear()
    for _ in range(2):
        container = await pool.take(USUAL)
        assert container is not None
        pool.release(container)
    gone = asyncio.create_task(pool.take(USUAL))
    waiting = asyncio.create_task(pool.take(USUAL))
    await asyncio.sleep(0.02)
    gone.cancel()
    with pytest.raises(SandboxBusy, match="in time"):
        await waiting
    launcher.gate.set()
    await pool.until_idle(2)
    assert pool.report().taken == 0
    await pool.close()


async def test_an_unusual_class_starts_cold_until_it_is_asked_for_again(launcher: FakeLauncher) -> None:
    pool = pool_of(launcher)
    pool.keep(USUAL)
    await pool.until_idle(2)
    assert await pool.take(OTHER) is None
    second = await asyncio.wait_for(pool.take(OTHER), 10)
    assert second is not None
    assert cast("FakeContainer", second).kind == OTHER
    await pool.close()


async def test_one_that_waits_for_nobody_gives_way_to_one_that_is_asked_for(launcher: FakeLauncher) -> None:
    pool = pool_of(launcher, minimum=2, maximum=2, worth_keeping=0)
    pool.keep(USUAL)
    await pool.until_idle(2)
    assert await asyncio.wait_for(pool.take(OTHER), 10) is not None
    await pool.close()


async def test_one_that_dies_while_it_waits_is_removed_and_replaced(launcher: FakeLauncher) -> None:
    pool = pool_of(launcher)
    pool.keep(USUAL)
    await pool.until_idle(2)
    launcher.made[0].die()
    await pool.until_idle(2)
    assert launcher.removed == launcher.made[:1]
    assert await pool.take(USUAL) is not launcher.made[0]
    await pool.close()


async def test_an_engine_that_fails_sends_callers_to_a_cold_start_and_is_left_alone_for_a_while(
    launcher: FakeLauncher,
) -> None:
    launcher.problem = "no space left on the engine's disk"
    pool = pool_of(launcher)
    pool.keep(USUAL)
    assert await asyncio.wait_for(pool.take(USUAL), 10) is None
    assert await asyncio.wait_for(pool.take(USUAL), 10) is None
    assert pool.report().problem == launcher.problem
    assert pool.report().served_cold == 2
    await pool.close()


@pytest.mark.parametrize("failures", [1, 2])
async def test_a_launch_that_fails_now_and_then_costs_nobody_a_warm_container(
    launcher: FakeLauncher, failures: int
) -> None:
    launcher.problem, launcher.failures_left = "the engine is busy", failures
    pool = pool_of(launcher, launches_at_a_time=1)
    pool.keep(USUAL)
    callers = [pool.take(USUAL) for _ in range(4)]
    assert None not in await asyncio.wait_for(asyncio.gather(*callers), 10)
    report = pool.report()
    assert (report.served_cold, report.failed_launches, report.problem) == (0, failures, None)
    assert report.last_failure == launcher.problem
    await pool.close()


async def test_who_waits_in_vain_for_a_pool_that_never_made_one_starts_cold(launcher: FakeLauncher) -> None:
    launcher.gate.clear()
    pool = pool_of(launcher, patience_seconds=0.6)
    pool.keep(USUAL)
    assert await asyncio.wait_for(pool.take(USUAL), 10) is None
    launcher.gate.set()
    await pool.close()


async def test_a_new_image_retires_what_waits_of_the_old_one(launcher: FakeLauncher) -> None:
    pool = pool_of(launcher)
    pool.keep(USUAL)
    await pool.until_idle(2)
    pool.keep(NEWER)
    container = await asyncio.wait_for(pool.take(NEWER), 10)
    assert cast("FakeContainer", container).kind == NEWER
    assert set(launcher.removed) >= set(launcher.made[:2])
    await pool.close()


async def test_after_the_close_nothing_is_made_and_whoever_waited_starts_cold(launcher: FakeLauncher) -> None:
    launcher.gate.clear()
    pool = pool_of(launcher)
    pool.keep(USUAL)
    waiting = asyncio.create_task(pool.take(USUAL))
    await asyncio.sleep(0.05)
    closing = asyncio.create_task(pool.close())
    assert await asyncio.wait_for(waiting, 10) is None
    launcher.gate.set()
    await closing
    assert await pool.take(USUAL) is None
