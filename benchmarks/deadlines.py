"""`python -m benchmarks deadlines`: how late deadlines are among 100,000, and what an idle server costs.

One `hitl serve` runs on a SQLite database full of pending requests. While nothing is due its share of a core
is taken from the kernel's accounts. Then some requests expire, a fifth of them at one instant and the others
one after another, and the audit log says when each was ended: its entry is written in the transaction that
ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.measuring import Samples
from benchmarks.servers import Home, make_home, serving_process
from benchmarks.stored import BATCH, rows_of
from hitl_mcp.application import Application
from hitl_mcp.approvals import events
from hitl_mcp.settings import read_settings
from hitl_mcp.storage.schema import actions, audit, deadlines, requests
from hitl_mcp.wiring import build_application

TARGET_LATENESS_MS: Final = 1000.0
TARGET_SHARE: Final = 0.01
SETTLING_SECONDS: Final = 20.0
SPREAD_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 60.0
BURST: Final = 2000


@dataclass(frozen=True)
class Result:
    """`share` of one core while idle; `late` is how long after their time requests were ended; `burst` how
    many seconds it took to end `BURST` requests that expired at one instant.
    """

    share: float
    late: Samples
    pending: int
    burst: float = 0.0


def cpu_seconds(process_id: int) -> float:
    """Processor time of all threads of a process, from the kernel's accounts in nanoseconds."""
    tasks = Path(f"/proc/{process_id}/task")
    return sum(int((each / "schedstat").read_text().split()[0]) for each in tasks.iterdir()) / 1e9


def _waiting(
    application: Application, number: int, expires_at: datetime
) -> tuple[dict[str, Any], dict[str, Any]]:
    action, request = rows_of(application, number)
    waiting = {"status": "PENDING", "decided_at": None, "attachable_digest": request["action_digest"]}
    return action, {**request, **waiting, "expires_at": expires_at}


async def _store(application: Application, first: int, expiries: Sequence[datetime]) -> None:
    for start in range(0, len(expiries), BATCH):
        batch = expiries[start : start + BATCH]
        rows = [_waiting(application, first + start + each, at) for each, at in enumerate(batch)]

        async def operation(connection: AsyncConnection, rows: Sequence[Any] = rows) -> None:
            await connection.execute(insert(actions), [action for action, _ in rows])
            await connection.execute(insert(requests), [request for _, request in rows])
            due = [
                {"request_id": row["request_id"], "kind": "expiry", "due_at": row["expires_at"]}
                for _, row in rows
            ]
            await connection.execute(insert(deadlines), due)

        await application.database.write(operation)


async def _fill(home: Home, pending: int, due: int, idle_seconds: float) -> datetime:
    """Store the requests; return when the first of those that expire does."""
    async with build_application(read_settings(home.environment())) as application:
        now = application.clock.now()
        # Far apart and far away, as people's requests are.
        later = [now + timedelta(days=1, seconds=each) for each in range(pending - due)]
        await _store(application, 0, later)
        first = application.clock.now() + timedelta(seconds=2 * SETTLING_SECONDS + idle_seconds)
        spread = [
            first + timedelta(seconds=SPREAD_SECONDS * each / due) if each % 5 else first
            for each in range(due)
        ]
        await _store(application, pending, spread)
        return first


async def _lateness(home: Home, due: int) -> Samples:
    """In the order of their ends, once all that are due have ended."""
    query = select(requests.c.expires_at, audit.entries.c.at).join(
        audit.entries, audit.entries.c.subject == requests.c.request_id
    )
    query = query.where(audit.entries.c.event == events.TIMED_OUT).order_by(audit.entries.c.sequence)

    async def operation(connection: AsyncConnection) -> list[tuple[datetime, str]]:
        return [(row[0], row[1]) for row in await connection.execute(query)]

    async with build_application(read_settings(home.environment())) as application:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found := await application.database.read(operation)) < due:  # noqa: ASYNC110
                await asyncio.sleep(0.5)  # a process of its own writes the log
    return Samples([(datetime.fromisoformat(at) - expires_at).total_seconds() for expires_at, at in found])


async def _burst(home: Home) -> float:
    async with build_application(read_settings(home.environment())) as application:
        now = application.clock.now()
        await _store(application, 0, [now] * BURST)
        began = time.monotonic()
        assert await application.service.run_deadlines(now=now) == BURST
        return time.monotonic() - began


async def measure(pending: int, due: int, idle_seconds: float) -> Result:
    """Fill a database, serve it, and measure both."""
    with tempfile.TemporaryDirectory(prefix="hitl-bench-") as directory:
        home = make_home(Path(directory) / "home")
        first = await _fill(home, pending, due, idle_seconds)
        async with serving_process(home) as process_id:
            await asyncio.sleep(SETTLING_SECONDS)
            began, spent = time.monotonic(), cpu_seconds(process_id)
            await asyncio.sleep(idle_seconds)
            share = (cpu_seconds(process_id) - spent) / (time.monotonic() - began)
            await asyncio.sleep(max(0.0, (first - datetime.now(UTC)).total_seconds()) + SPREAD_SECONDS + 1.0)
            late = await _lateness(home, due)
        burst = await _burst(make_home(Path(directory) / "burst"))
    return Result(share, late, pending, burst)


def report(result: Result) -> bool:
    """Print what was measured; whether every target was met."""
    late = result.late
    worst = late.percentile(100)
    print(f"{result.pending} pending requests with deadlines, {len(late.seconds)} of them due")
    print(f"lateness: p50 {late.p50:.0f} ms, p99 {late.p99:.0f} ms, max {worst:.0f} ms (target 1000)")
    print(f"{BURST} that expire at one instant: the last after {result.burst:.1f} s (no target)")
    print(f"one idle server: {result.share:.2%} of a core (target under 1 %)")
    return worst <= TARGET_LATENESS_MS and min(late.seconds) >= 0 and result.share < TARGET_SHARE


def main(arguments: Sequence[str] = ()) -> int:
    """Exit code 0 when every target was met, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks deadlines", description=__doc__)
    parser.add_argument("--pending", type=int, default=100_000, help="pending requests")
    parser.add_argument("--due", type=int, default=500, help="how many of them expire while measured")
    parser.add_argument("--idle-seconds", type=float, default=30.0, help="how long to measure an idle server")
    options = parser.parse_args(arguments)
    return 0 if report(asyncio.run(measure(options.pending, options.due, options.idle_seconds))) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
