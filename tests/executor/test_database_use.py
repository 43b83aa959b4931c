"""How often an execution asks the database, and what waits for its answers."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from executor_mcp import runner
from executor_mcp.analysing import AnalysisPlace
from executor_mcp.execution_feed import EndEvent, OutputEvent, StatusEvent, follow
from executor_mcp.models import ExecutionStatus
from hitl_contract.action import parse_action
from server_kit.database.base import ChangeFeed, Database, Dialect, Operation
from server_kit.small_values import ON_THE_LOOP_CHARACTERS, is_small
from tests.executor.support import PROGRAM, Bench, bench, eventually, outcome

SMALL = parse_action(PROGRAM)
LARGE = parse_action({**PROGRAM, "code": "x = 1\n" * ON_THE_LOOP_CHARACTERS})


@dataclass
class Counting:
    """A `Database` that counts what is asked of the one behind it."""

    inner: Database
    asked: list[str] = field(default_factory=list[str])

    @property
    def dialect(self) -> Dialect:
        return self.inner.dialect

    @property
    def changes(self) -> ChangeFeed:
        return self.inner.changes

    async def write(self, operation: Operation[Any]) -> Any:
        self.asked.append("write")
        return await self.inner.write(operation)

    async def read(self, operation: Operation[Any]) -> Any:
        self.asked.append("read")
        return await self.inner.read(operation)

    async def close(self) -> None:
        await self.inner.close()

    def take(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked


@pytest_asyncio.fixture
async def counted(either_store: Database, tmp_path: Path) -> AsyncIterator[tuple[Bench, Counting]]:
    counting = Counting(either_store)
    made = bench(counting, tmp_path)
    await made.executor.recovery.begin()
    counting.take()
    yield made, counting
    await made.executor.service.close()
    await made.executor.recovery.end()


@pytest.fixture
def any_time_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, no program counts as one that lasts."""
    monkeypatch.setattr(runner, "LASTING_SECONDS", 3600.0)


@pytest.mark.usefixtures("any_time_is_short")
async def test_a_program_that_is_over_at_once_costs_two_transactions_and_its_answer_no_look(
    counted: tuple[Bench, Counting],
) -> None:
    made, counting = counted
    service = made.executor.service
    made.sandbox.hold = True

    execution_id = await service.execute(made.issuer.token(), None)
    # Whether it is revoked, and whether it is spent; then it is spent, and "started" is on record.
    assert counting.take() == ["read", "read", "write"]
    waiting = asyncio.create_task(service.get(execution_id, wait_seconds=20))
    await eventually(lambda: bool(made.sandbox.runs))
    assert counting.take() == []
    made.sandbox.runs[0].end(outcome())
    ended = await waiting

    assert counting.take() == ["write"]
    assert await service.get(execution_id) == ended
    assert ended.status is ExecutionStatus.COMPLETED
    assert ended.started_at is not None
    events = [event for event, subject, _ in await made.events() if subject == execution_id]
    assert events == ["execution.started", "execution.finished"]


@pytest.mark.usefixtures("any_time_is_short")
async def test_who_follows_looks_once_and_is_handed_the_recorded_end(
    counted: tuple[Bench, Counting],
) -> None:
    made, counting = counted
    service = made.executor.service
    made.sandbox.hold = True
    execution_id = await service.execute(made.issuer.token(), None)
    await eventually(lambda: bool(made.sandbox.runs))
    counting.take()

    followed = [event async for event in _followed(made, execution_id)]

    assert [type(event) for event in followed] == [StatusEvent, OutputEvent, EndEvent]
    assert counting.take() == ["read", "write"]
    assert followed[0] == StatusEvent(replace(followed[0].execution, status=ExecutionStatus.RUNNING))
    assert followed[-1] == EndEvent(await service.get(execution_id))


async def _followed(made: Bench, execution_id: str) -> AsyncIterator[Any]:
    """Its events; it ends as soon as somebody has heard that it runs."""
    async for event, _ in follow(made.executor.service, execution_id):
        if isinstance(event, StatusEvent):
            made.sandbox.runs[0].end(outcome())
        yield event


async def test_a_program_that_lasts_is_recorded_as_running_and_stopped_from_elsewhere(
    counted: tuple[Bench, Counting], tmp_path: Path
) -> None:
    made, counting = counted
    other = bench(counting.inner, tmp_path / "other", issuer=made.issuer)
    made.sandbox.hold = True
    execution_id = await made.executor.service.execute(made.issuer.token(), None)

    async with counting.changes.watch(f"execution:{execution_id}") as watch:
        while (execution := await other.executor.service.get(execution_id)).started_at is None:
            assert await watch.wait(20)
    assert execution.status is ExecutionStatus.RUNNING
    await other.executor.service.cancel(execution_id)
    ended = await other.executor.service.get(execution_id, wait_seconds=20)

    assert ended.status is ExecutionStatus.CANCELLED
    assert ended.started_at == execution.started_at


async def test_word_to_stop_that_was_left_before_anybody_listened_is_heard(
    counted: tuple[Bench, Counting],
) -> None:
    made, _ = counted
    made.sandbox.hold = True
    execution_id = await made.executor.service.execute(made.issuer.token(), None)
    await made.executor.ledger.cancel_requests.leave(execution_id, actor="another process")

    ended = await made.executor.service.get(execution_id, wait_seconds=20)

    assert ended.status is ExecutionStatus.CANCELLED


async def test_who_waits_for_an_end_that_could_not_be_recorded_is_not_told_of_one(
    counted: tuple[Bench, Counting], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = counted
    made.sandbox.hold = True
    execution_id = await made.executor.service.execute(made.issuer.token(), None)

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("executor_mcp.end_record.EndRecord.write", broken)
    waiting = asyncio.create_task(made.executor.service.get(execution_id, wait_seconds=1))
    await eventually(lambda: bool(made.sandbox.runs))
    made.sandbox.runs[0].end(outcome())

    assert not (await waiting).status.is_final


async def test_small_actions_are_analysed_on_the_loop_once_the_analysers_are_loaded() -> None:
    loads: list[int] = []
    place = AnalysisPlace(lambda: loads.append(threading.get_ident()))
    here = threading.get_ident()

    first = await place.run(SMALL, threading.get_ident)
    assert (first != here, loads) == (True, [])
    second = await place.run(SMALL, threading.get_ident)
    await eventually(lambda: bool(loads))
    assert second != here
    assert loads != [here]
    await eventually(lambda: place.is_loaded)
    assert await place.run(SMALL, threading.get_ident) == here
    assert await place.run(LARGE, threading.get_ident) != here
    assert len(loads) == 1


async def test_analysers_that_cannot_be_loaded_are_asked_in_threads() -> None:
    tried: list[bool] = []

    def load() -> None:
        tried.append(True)
        raise ImportError("none")

    place = AnalysisPlace(load)
    for _ in range(2):
        await place.run(SMALL, threading.get_ident)
    await eventually(lambda: bool(tried))
    assert await place.run(SMALL, threading.get_ident) != threading.get_ident()
    assert tried == [True]


@pytest.mark.parametrize(
    "value",
    [
        "x" * (ON_THE_LOOP_CHARACTERS + 1),
        list(itertools.repeat([0][:0], ON_THE_LOOP_CHARACTERS + 1)),
        {"files": list(itertools.repeat(dict[str, str](), ON_THE_LOOP_CHARACTERS + 1))},
        {"k" * ON_THE_LOOP_CHARACTERS: None},
        [1.5] * ON_THE_LOOP_CHARACTERS,
    ],
    ids=["text", "empty lists", "empty objects", "a name", "numbers"],
)
def test_nothing_that_is_long_counts_as_small(value: object) -> None:
    assert not is_small(value)
    assert is_small({"action": PROGRAM})
