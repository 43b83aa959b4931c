"""Quotas: pure arithmetic held against a model, and real interleavings over both databases."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor_mcp.errors import RefusalReason, Refused
from executor_mcp.models import ExecutionStatus
from executor_mcp.quotas import Demand, Quota, QuotaRules, Use, excess
from executor_mcp.settings import load
from executor_mcp.start_record import SharedBounds
from executor_mcp.storage.schema import MIGRATIONS
from executor_mcp.web.problems import _refused
from hitl_contract.capability import Approver
from server_kit.database.base import Database
from server_kit.database.migrations import migrate
from server_kit.database.opening import open_database
from server_kit.errors import ConfigurationError
from tests.executor.support import PROGRAM, Bench, bench, eventually, outcome, refused

NOW = datetime(2030, 1, 1, tzinfo=UTC)
WINDOW = timedelta(seconds=100)
SMALL = {**PROGRAM, "limits": {"wall_seconds": 9, "cpus": 1}}

quotas = st.builds(
    Quota,
    executions=st.none() | st.integers(0, 4),
    cpu_seconds=st.none() | st.integers(0, 40).map(float),
    concurrent=st.none() | st.integers(0, 3),
)
uses = st.lists(
    st.builds(
        lambda ago, cpu, left: Use(
            NOW - timedelta(seconds=ago),
            float(cpu),
            None if left is None else NOW + timedelta(seconds=left),
        ),
        st.integers(0, 150),
        st.integers(0, 20),
        st.none() | st.integers(1, 50),
    ),
    max_size=8,
)


def fits(quota: Quota, held: list[Use], cpu: float, at: datetime) -> bool:
    """The meaning of a quota, written down without a clever step."""
    inside = [use for use in held if use.at > at - WINDOW]
    under_way = [use for use in held if use.ends_by is not None and use.ends_by > at]
    return (
        (quota.executions is None or len(inside) + 1 <= quota.executions)
        and (quota.concurrent is None or len(under_way) + 1 <= quota.concurrent)
        and (quota.cpu_seconds is None or sum(use.cpu_seconds for use in inside) + cpu <= quota.cpu_seconds)
    )


@settings(max_examples=400)
@given(quotas, uses, st.integers(0, 30))
def test_a_quota_lets_through_what_fits_and_says_when_it_will(
    quota: Quota, held: list[Use], cpu: int
) -> None:
    demand = Demand(10.0, float(cpu))
    found = excess(quota, held, demand, now=NOW, window=WINDOW)
    assert (found is None) == fits(quota, held, cpu, NOW)
    if found is None:
        return
    if found.retry_seconds is None:
        # Nothing that was used stands in the way: it would not fit alone either.
        assert not fits(quota, [], cpu, NOW)
        return
    assert found.retry_seconds >= 1
    assert fits(quota, held, cpu, NOW + timedelta(seconds=found.retry_seconds))
    if found.retry_seconds > 2:
        assert not fits(quota, held, cpu, NOW + timedelta(seconds=found.retry_seconds - 1.001))


def bounded(**each_agent: Any) -> SharedBounds:
    return SharedBounds(quotas=QuotaRules(window_seconds=100, each_agent=Quota(**each_agent)))


@pytest.mark.timeout(120)
async def test_two_executors_on_one_database_let_through_exactly_what_the_quota_allows(
    database_url: str, tmp_path: Path, clock: Any
) -> None:
    await migrate(database_url, MIGRATIONS)
    databases = [await open_database(database_url) for _ in range(2)]
    first = bench(databases[0], tmp_path / "a", bounds=bounded(executions=5), clock=clock, places=50)
    second = bench(
        databases[1],
        tmp_path / "b",
        issuer=first.issuer,
        bounds=bounded(executions=5),
        clock=clock,
        places=50,
    )
    now = clock.now().timestamp()
    tokens = [first.issuer.token(now=now) for _ in range(14)]
    try:
        answers = await asyncio.gather(
            *(
                (first, second)[number % 2].executor.service.execute(token, None)
                for number, token in enumerate(tokens)
            ),
            return_exceptions=True,
        )
        ran = [answer for answer in answers if isinstance(answer, str)]
        refusals = [answer for answer in answers if isinstance(answer, Refused)]
        assert len(ran) == 5
        assert {refusal.reason for refusal in refusals} == {RefusalReason.QUOTA_EXCEEDED}
        assert {refusal.retry_after_seconds for refusal in refusals} == {100.0}
        assert await first.counts() == (5, 5)
        # Another agent has a quota of its own.
        assert (await second.run(subject="agent-2", now=now)).status is ExecutionStatus.COMPLETED

        spent = {answer for answer in tokens if not isinstance(answers[tokens.index(answer)], Refused)}
        clock.advance(100)
        left = [token for token in tokens if token not in spent]
        again = await first.executor.service.execute(left[0], None)
        assert (await second.executor.service.get(again, wait_seconds=10)).status is ExecutionStatus.COMPLETED
    finally:
        for made in (first, second):
            await made.executor.service.close()
        for database in databases:
            await database.close()


async def test_processor_time_is_held_at_its_limit_until_it_is_known(
    either_store: Database, tmp_path: Path, clock: Any
) -> None:
    # Each may take (9 s and one of grace) times 1 processor.
    made = bench(either_store, tmp_path, bounds=bounded(cpu_seconds=25), clock=clock, places=9)
    made.sandbox.hold = True
    service, now = made.executor.service, clock.now().timestamp()
    for _ in range(2):
        await service.execute(made.issuer.token(SMALL, now=now), None)
    third = made.issuer.token(SMALL, now=now)
    refusal = await refused(made, third)
    assert refusal.retry_after_seconds == 100.0
    assert "20.0 of 25 CPU seconds" in refusal.detail

    await eventually(lambda: len(made.sandbox.runs) == 2)
    usage = dataclasses.replace(outcome().usage, cpu_seconds=2.5)
    made.sandbox.runs[0].end(dataclasses.replace(outcome(), usage=usage))
    await service.get(made.sandbox.started[0], wait_seconds=10)
    # 2.5 were used, 10 are held, 10 are asked for.
    assert await service.execute(third, None)

    big = {**PROGRAM, "limits": {"wall_seconds": 60, "cpus": 1}}
    refusal = await refused(made, made.issuer.token(big, now=now))
    assert (refusal.retryable, refusal.retry_after_seconds) == (False, None)
    assert "limits.wall_seconds" in refusal.detail
    await service.close()


async def test_a_person_and_what_is_under_way_are_counted_and_a_second_use_is_told_so_first(
    store: Database, tmp_path: Path, clock: Any
) -> None:
    rules = QuotaRules(
        window_seconds=100,
        each_person=Quota(executions=2),
        people={"root": Quota()},
        agents={"calm": Quota(concurrent=1)},
    )
    made = bench(store, tmp_path, bounds=SharedBounds(quotas=rules), clock=clock)
    now = clock.now().timestamp()
    alice = (Approver("alice", "web", "session"), Approver("alice", "slack", "chat"))
    both = (*alice, Approver("bob", "web", "session"))
    token = made.issuer.token(now=now, approved_by=alice, subject="one")
    first = await made.executor.service.execute(token, None)
    await made.run(now=now, approved_by=both, subject="two")
    assert "person 'alice'" in (await refused(made, made.issuer.token(now=now, approved_by=both))).detail
    await made.run(now=now, approved_by=both[2:], subject="three")
    again = await refused(made, token)
    assert (again.reason, again.execution_id) == (RefusalReason.ALREADY_USED, first)

    made.sandbox.hold = True
    root = (Approver("root", "web", "session"),)
    await made.executor.service.execute(made.issuer.token(now=now, approved_by=root, subject="calm"), None)
    refusal = await refused(made, made.issuer.token(now=now, approved_by=root, subject="calm"))
    assert "1 of at most 1 are under way" in refusal.detail
    # At the latest when the program's 30 s are over and its end is recorded.
    assert refusal.retry_after_seconds == 45.0
    answer = await _refused(None, refusal)  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "45")
    await made.executor.service.close()


def test_quotas_are_settings_and_a_wrong_one_is_named() -> None:
    made = load(
        {"EXECUTOR_QUOTAS__AGENTS": '{"ci": {"executions": 5}}', "EXECUTOR_QUOTAS__WINDOW_SECONDS": "60"}
    )
    assert made.shared_bounds.quotas.of("agent", "ci") == Quota(executions=5)
    assert made.shared_bounds.quotas.of("agent", "other").bounds_nothing
    for name, value in (("AGENTS", '{"ci": {"execution": 5}}'), ("EACH_AGENT", '{"concurrent": -1}')):
        with pytest.raises(ConfigurationError, match="quotas"):
            load({f"EXECUTOR_QUOTAS__{name}": value})


async def test_nothing_is_asked_of_the_sandbox_for_a_call_over_quota(ready: Bench, tmp_path: Path) -> None:
    made = bench(ready.database, tmp_path, bounds=bounded(executions=0))
    refusal = await refused(made, made.issuer.token())
    assert (refusal.reason, refusal.retry_after_seconds) == (RefusalReason.QUOTA_EXCEEDED, None)
    assert made.sandbox.prepared == 0
