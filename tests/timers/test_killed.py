"""kill -9 in the middle of working deadlines, again and again: none is lost and none has its effect twice."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from hitl_mcp.approvals.models import RequestStatus
from server_kit.database.opening import open_database
from tests.approvals.world import World, create_schema, submission
from tests.notifiers.desk import MovableClock
from tests.timers.asking import OnTerms, escalating

ROOT = Path(__file__).parents[2]
POINTS = ["begun", "taken", "state written", "audited", "owed to people", "before commit", "after commit"]
REQUESTS = 12


Job = tuple[float, str, int]


@asynccontextmanager
async def workers(url: str, home: Path) -> AsyncIterator[Callable[[list[Job]], Awaitable[list[int]]]]:
    """Runs workers at the same time until each has ended or was killed; their exit statuses."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.timers.killed_worker",
        url,
        str(home),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    write, read = process.stdin, process.stdout

    async def run(jobs: list[Job]) -> list[int]:
        write.write(json.dumps(jobs).encode() + b"\n")
        return json.loads(await asyncio.wait_for(read.readline(), 50))

    try:
        yield run
    finally:
        write.close()
        await asyncio.wait_for(process.wait(), 20)


async def test_deadlines_survive_workers_killed_at_every_point_and_two_working_at_once(
    database_url: str, tmp_path: Path
) -> None:
    database = await open_database(database_url)
    await create_schema(database)
    clock = MovableClock()
    world = World(database, clock, tmp_path, OnTerms(escalating(60, 120, reminders=(30, 90))))
    ids = [
        (await world.service.submit("agent-1", submission(f"print({n})", timeout=3600))).request.request_id
        for n in range(REQUESTS)
    ]
    killed = 0
    try:
        async with workers(database_url, tmp_path) as run:
            for ahead, points in ((600.0, POINTS[:4]), (4000.0, POINTS[4:])):
                for number, point in enumerate(points):
                    # Two at once: one killed early, the other after some of the work.
                    jobs = [(ahead, point, 1 + number % 2), (ahead, POINTS[-1 - number], 3)]
                    statuses = await run(jobs)
                    killed += statuses.count(-signal.SIGKILL)
                    assert set(statuses) <= {0, -signal.SIGKILL}
                clock.advance(ahead)
                await world.service.run_deadlines(now=clock.now())
                clock.advance(-ahead)
        assert killed >= len(POINTS)
        for request_id in ids:
            events = Counter(await world.events_about(request_id))
            told = Counter(await world.notifications_about(request_id))
            assert events == {
                "request.created": 1,
                "request.escalated": 2,
                "request.reminded": 2,
                "request.timed_out": 1,
            }
            assert told == {"created": 1, "escalated": 2, "reminded": 2, "ended": 1}
            record = await world.service.get(request_id)
            assert record.request.status is RequestStatus.TIMEOUT
        assert await world.count("deadlines") == 0
    finally:
        await database.close()
