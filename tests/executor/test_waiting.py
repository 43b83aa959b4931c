"""Executions that wait in the database: bounded, honest about it, and begun by whoever has a place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.errors import RefusalReason, Refused
from executor_mcp.executor_policy import ExecutorPolicy
from executor_mcp.interface.views import execution_answer
from executor_mcp.models import ExecutionStatus
from executor_mcp.sandbox.errors import SandboxBusy, SandboxUnavailable
from executor_mcp.start_record import SharedBounds
from executor_mcp.steps import Step
from executor_mcp.storage.schema import MIGRATIONS, waiting_executions
from executor_mcp.waiting_time import LONGEST_WAIT_SECONDS, SHORTEST_WAIT_SECONDS, expected_wait
from hitl_contract.action import canonical_action, parse_action
from server_kit.database.base import Database
from server_kit.database.migrations import migrate
from server_kit.database.opening import open_database
from server_kit.errors import DatabaseUnavailable
from tests.executor.support import IMAGE, PROGRAM, Bench, bench, eventually, outcome, refused

TWO = SharedBounds(most_waiting=2)


@asynccontextmanager
async def working(*benches: Bench) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(made.executor.worker.run()) for made in benches]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for made in benches:
            await made.executor.service.close()


async def waiting_rows(database: Database) -> list[tuple[str, str | None]]:
    async def read(connection: AsyncConnection) -> list[tuple[str, str | None]]:
        rows = await connection.execute(
            select(waiting_executions.c.execution_id, waiting_executions.c.claimed_by)
        )
        return [(row.execution_id, row.claimed_by) for row in rows]

    return await database.read(read)


@pytest.mark.timeout(120)
async def test_what_finds_no_place_waits_and_any_executor_of_the_database_takes_it(
    database_url: str, tmp_path: Path
) -> None:
    await migrate(database_url, MIGRATIONS)
    databases = [await open_database(database_url) for _ in range(2)]
    full = bench(databases[0], tmp_path / "a", bounds=TWO, places=1)
    free = bench(databases[1], tmp_path / "b", issuer=full.issuer, bounds=TWO, places=1)
    full.sandbox.hold = True
    service = full.executor.service
    try:
        running = await service.execute(full.issuer.token(), None)
        await eventually(lambda: len(full.sandbox.runs) == 1)
        token = full.issuer.token()
        second, third = await service.execute(token, None), await service.execute(full.issuer.token(), None)
        assert [(await service.get(one)).ahead for one in (running, second, third)] == [None, 0, 1]
        shown = execution_answer(await service.get(third), None)
        assert (shown.status, "with 1 before it" in shown.next_step) == ("pending", True)

        refusal = await refused(full, full.issuer.token())
        assert (refusal.reason, refusal.retryable) == (RefusalReason.BUSY, True)
        assert refusal.retry_after_seconds == LONGEST_WAIT_SECONDS
        assert (await refused(full, token)).execution_id == second

        # The other executor cancels one that waits and runs the one that is left; anybody reads both.
        await free.executor.service.cancel(third)
        cancelled = await service.get(third)
        assert cancelled.status is ExecutionStatus.CANCELLED
        assert cancelled.receipt is not None
        async with working(free):
            ended = await service.get(second, wait_seconds=20)
            assert ended.status is ExecutionStatus.COMPLETED
            assert free.sandbox.started == [second]
        assert await waiting_rows(databases[0]) == []
        names = [name for name, subject, _ in await full.events() if subject == second]
        assert names == ["execution.queued", "execution.started", "execution.finished"]
        names = [name for name, subject, _ in await full.events() if subject == third]
        assert names == ["execution.queued", "execution.cancel_requested", "execution.finished"]
    finally:
        await service.close()
        for database in databases:
            await database.close()


async def test_a_place_that_comes_free_goes_to_what_waits_before_a_new_call(
    either_store: Database, tmp_path: Path
) -> None:
    made = bench(either_store, tmp_path, bounds=SharedBounds(most_waiting=10), places=1)
    made.sandbox.hold = True
    service = made.executor.service
    async with working(made):
        order = [await service.execute(made.issuer.token(), None) for _ in range(4)]
        for number in range(4):
            await eventually(lambda wanted=number: len(made.sandbox.runs) > wanted)
            order += [await service.execute(made.issuer.token(), None)] if number == 0 else []
            made.sandbox.runs[number].end(outcome())
            await service.get(order[number], wait_seconds=10)
        await eventually(lambda: len(made.sandbox.runs) == 5)
        made.sandbox.runs[4].end(outcome())
        await service.get(order[4], wait_seconds=10)
    assert made.sandbox.started == order


async def test_no_more_run_in_all_executors_than_may(store: Database, tmp_path: Path) -> None:
    bounds = SharedBounds(most_waiting=10, at_a_time=2)
    first = bench(store, tmp_path / "a", bounds=bounds)
    second = bench(store, tmp_path / "b", issuer=first.issuer, bounds=bounds)
    first.sandbox.hold = second.sandbox.hold = True
    async with working(first, second):
        identifiers = [
            await (first, second)[number % 2].executor.service.execute(first.issuer.token(), None)
            for number in range(5)
        ]
        await eventually(lambda: len(first.sandbox.runs) + len(second.sandbox.runs) == 2)
        assert len(await waiting_rows(store)) == 3
        first.sandbox.hold = second.sandbox.hold = False
        for run in [*first.sandbox.runs, *second.sandbox.runs]:
            run.end(outcome())
        for one in identifiers:
            assert (
                await first.executor.service.get(one, wait_seconds=30)
            ).status is ExecutionStatus.COMPLETED
    assert len({*first.sandbox.started, *second.sandbox.started}) == 5
    without_queue = bench(store, tmp_path / "c", bounds=SharedBounds(at_a_time=0))
    assert (await refused(without_queue, without_queue.issuer.token())).reason is RefusalReason.BUSY


async def enqueued(made: Bench, **changes: Any) -> str:
    """An execution that waits: this executor has no place at all."""
    return await made.executor.service.execute(made.issuer.token(**changes), None)


async def test_an_engine_that_is_away_or_busy_leaves_what_waits_in_the_queue(
    store: Database, tmp_path: Path
) -> None:
    door = bench(store, tmp_path / "a", bounds=TWO, places=0)
    made = bench(store, tmp_path / "b", issuer=door.issuer, bounds=TWO, places=1)
    execution_id = await enqueued(door)
    made.sandbox.fail_prepare = SandboxUnavailable("the engine does not answer")
    async with working(made):
        await eventually(lambda: made.sandbox.prepared > 0)
        assert (await made.executor.service.get(execution_id)).ahead == 0
        made.sandbox.fail_prepare = None
        ended = await made.executor.service.get(execution_id, wait_seconds=20)
        assert ended.status is ExecutionStatus.COMPLETED

    # A pool that is dry sends a new call into the queue as well.
    busy = bench(store, tmp_path / "c", issuer=door.issuer, bounds=TWO)
    busy.sandbox.fail_prepare = SandboxBusy("none is ready", 0.1)
    waits = await busy.executor.service.execute(door.issuer.token(), None)
    assert (await busy.executor.service.get(waits)).ahead == 0
    # And one that is away refuses, with the token unspent: waiting here would help nobody.
    busy.sandbox.fail_prepare = SandboxUnavailable("the engine does not answer")
    assert (await refused(busy, door.issuer.token())).reason is RefusalReason.SANDBOX_UNAVAILABLE


async def test_what_this_executor_would_not_run_is_left_to_one_that_would(
    store: Database, tmp_path: Path
) -> None:
    door = bench(store, tmp_path / "a", bounds=TWO, places=0)
    strict = bench(
        store,
        tmp_path / "b",
        issuer=door.issuer,
        bounds=TWO,
        policy=ExecutorPolicy(languages=frozenset({"bash"})),
    )
    execution_id = await enqueued(door)
    async with working(strict):
        await eventually(lambda: strict.sandbox.described > 0)
        assert not (await door.executor.service.get(execution_id, wait_seconds=0.3)).status.is_final
    lenient = bench(store, tmp_path / "c", issuer=door.issuer, bounds=TWO)
    async with working(lenient):
        ended = await door.executor.service.get(execution_id, wait_seconds=20)
    assert ended.status is ExecutionStatus.COMPLETED
    assert strict.sandbox.prepared == 0


def forged(row: dict[str, Any]) -> Callable[[AsyncConnection], Any]:
    async def write(connection: AsyncConnection) -> None:
        await connection.execute(update(waiting_executions).values(**row))

    return write


@pytest.mark.parametrize(
    "what", ["action", "garbage", "token", "another", "elsewhere", "revoked", "lapsed", "late"]
)
async def test_what_the_token_does_not_stand_behind_is_ended_and_never_run(
    store: Database, tmp_path: Path, clock: Any, what: str
) -> None:
    door = bench(store, tmp_path / "a", bounds=TWO, places=0, clock=clock)
    made = bench(store, tmp_path / "b", issuer=door.issuer, bounds=TWO, clock=clock)
    now = clock.now().timestamp()
    execution_id = await enqueued(door, now=now)
    other = canonical_action(parse_action({**PROGRAM, "code": "print('mine')"}))
    if what == "action":
        await store.write(forged({"action": other}))
    elif what == "garbage":
        await store.write(forged({"action": b"\xff{"}))
    elif what == "token":
        await store.write(forged({"token": "e30.e30.e30"}))
    elif what == "another":
        # A genuine token, of which the ledger says that it was spent otherwise or never.
        await store.write(forged({"token": door.issuer.token(now=now)}))
    elif what == "elsewhere":
        spent = door.issuer.token(now=now)
        third = bench(store, tmp_path / "c", issuer=door.issuer, clock=clock)
        await third.executor.service.get(await third.executor.service.execute(spent, None), wait_seconds=10)
        await store.write(forged({"token": spent}))
    elif what == "revoked":
        claims = (await made.executor.service.get(execution_id)).token_id
        await made.executor.ledger.revocations.revoke(claims, reason="changed my mind")
    elif what == "lapsed":
        clock.advance(300)
    else:
        # Somebody with the database makes the row young: the token itself says that it is too old.
        clock.advance(2000)
        await store.write(forged({"lapses_at": clock.now() + timedelta(seconds=300)}))
    async with working(made):
        ended = await made.executor.service.get(execution_id, wait_seconds=20)
    assert ended.status is ExecutionStatus.FAILED
    assert ended.outcome is not None
    assert ended.outcome.ended_by == "never_begun"
    assert str(ended.outcome.detail).startswith("nothing was run")
    assert made.sandbox.started == []
    assert await waiting_rows(store) == []


class RevokedAt:
    """Somebody takes the approval back at the last moment."""

    def __init__(self) -> None:
        self.act: Callable[[], Any] | None = None

    async def reached(self, step: Step) -> None:
        if step is Step.CLAIMED_AND_PREPARED and self.act is not None:
            await self.act()


async def test_an_approval_taken_back_while_a_sandbox_is_prepared_runs_nothing(
    store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = RevokedAt()
    door = bench(store, tmp_path / "a", bounds=TWO, places=0)
    made = bench(store, tmp_path / "b", issuer=door.issuer, bounds=TWO, steps=steps)
    execution_id = await enqueued(door)
    token_id = (await made.executor.service.get(execution_id)).token_id
    steps.act = lambda: made.executor.ledger.revocations.revoke(token_id, reason="changed my mind")
    async with working(made):
        ended = await made.executor.service.get(execution_id, wait_seconds=20)
    assert ended.outcome is not None
    assert ended.outcome.ended_by == "never_begun"
    assert (made.sandbox.started, made.sandbox.discarded) == ([], 1)

    async def fail(operation: Any) -> Any:
        raise DatabaseUnavailable("locked")

    record = made.executor.service._gate._start_record  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(store, "read", fail)
    with pytest.raises(Refused, match="storage_unavailable"):
        await record.refuse_unless_spent_on(token_id, execution_id)


async def test_a_claim_of_a_living_process_is_left_alone_and_of_a_dead_one_taken(
    store: Database, tmp_path: Path
) -> None:
    door = bench(store, tmp_path / "a", bounds=TWO, places=0)
    execution_id = await enqueued(door)
    slow = bench(store, tmp_path / "b", issuer=door.issuer, bounds=TWO, lease_seconds=60.0)
    await slow.executor.recovery.begin()
    claimed = await slow.executor.worker._waiting.claim(  # pyright: ignore[reportPrivateUsage]
        slow.executor.worker._owner,
        (),
        at_a_time=None,  # pyright: ignore[reportPrivateUsage]
    )
    assert claimed is not None
    peer = bench(store, tmp_path / "c", issuer=door.issuer, bounds=TWO)
    assert await peer.executor.recovery.begin() == 0
    assert await waiting_rows(store) == [(execution_id, slow.executor.worker._owner)]  # pyright: ignore[reportPrivateUsage]

    # Its lease lapses while it prepares: a peer claims it, and the slow one learns so before it begins.
    await slow.executor.recovery.end()
    await peer.executor.recovery.recover()
    taken = await peer.executor.worker._waiting.claim(  # pyright: ignore[reportPrivateUsage]
        peer.executor.worker._owner,  # pyright: ignore[reportPrivateUsage]
        (),
        at_a_time=None,
    )
    assert taken == claimed
    for made in (slow, peer):
        assert await made.executor.worker._capacity.take_now()  # pyright: ignore[reportPrivateUsage]
        await made.executor.worker._begin_and_run(claimed)  # pyright: ignore[reportPrivateUsage]
    assert (slow.sandbox.started, peer.sandbox.started) == ([], [execution_id])
    assert slow.sandbox.discarded == 1
    await peer.executor.recovery.end()


async def test_what_waits_is_begun_after_a_restart_and_its_image_is_the_one_that_ran_it(
    store: Database, tmp_path: Path
) -> None:
    door = bench(store, tmp_path, bounds=TWO, places=0)
    execution_id = await enqueued(door)
    await door.executor.service.close()
    await door.executor.worker.give_back_all()
    again = bench(store, tmp_path, issuer=door.issuer, bounds=TWO)
    again.sandbox.image = "sha256:" + "c" * 64
    assert again.sandbox.image != IMAGE
    async with working(again):
        ended = await again.executor.service.get(execution_id, wait_seconds=20)
    assert (ended.status, ended.sandbox.image_digest) == (ExecutionStatus.COMPLETED, again.sandbox.image)


@given(st.integers(0, 10**6), st.floats(1, 3600))
def test_the_expected_wait_is_within_its_bounds_and_shorter_the_faster_the_queue_moves(
    ended: int, lately: float
) -> None:
    wait = expected_wait(ended, lately_seconds=lately)
    assert SHORTEST_WAIT_SECONDS <= wait <= LONGEST_WAIT_SECONDS
    assert expected_wait(ended + 1, lately_seconds=lately) <= wait
