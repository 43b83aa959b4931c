"""`make bench`: everything in one run, turn by turn, so that a busy machine slows all of it alike."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from mcp import Client

from benchmarks.burst import main as measure_burst
from benchmarks.calls import action, answer, click_to_resume, http_client, person, request, status, stdio
from benchmarks.consensus import main as measure_consensus
from benchmarks.corpus_report import main as replay_corpus
from benchmarks.cpython import main as compare_cpython
from benchmarks.deadlines import main as measure_deadlines
from benchmarks.endurance import main as measure_endurance
from benchmarks.executions import main as measure_executions
from benchmarks.hostile import main as measure_hostile
from benchmarks.measuring import Measurements
from benchmarks.minting import measure_minting
from benchmarks.peers import main as measure_peers
from benchmarks.report import FILLED, print_report, write_json
from benchmarks.rules import main as measure_rules
from benchmarks.servers import floor_serving, make_home, serving, stdio_command
from benchmarks.stored import store_requests
from benchmarks.whole_call import main as measure_whole_call

_HERE = Path(__file__).parent
_NAMED = {
    "consensus": measure_consensus,
    "burst": measure_burst,
    "corpus": replay_corpus,
    "cpython": compare_cpython,
    "deadlines": measure_deadlines,
    "endurance": measure_endurance,
    "executions": measure_executions,
    "hostile": measure_hostile,
    "peers": measure_peers,
    "rules": measure_rules,
    "stdio": measure_whole_call,
}


@dataclass(frozen=True)
class Subject:
    """One approval server under measurement: `prefix` and `suffix` go around its operations' names."""

    prefix: str
    suffix: str
    agent: Client


async def _floor(measurements: Measurements, name: str, client: Client) -> None:
    async def call() -> object:
        return await answer(client, "echo", {"action": action(), "justification": "benchmark"})

    await measurements.timed(name, call)


async def _ask_and_check(measurements: Measurements, subject: Subject) -> None:
    name = f"{subject.prefix} request_approval{subject.suffix}"
    asked = await measurements.timed(name, lambda: request(subject.agent))
    name = f"{subject.prefix} check_status{subject.suffix}"
    await measurements.timed(name, lambda: status(subject.agent, asked["request_id"]))


async def _measure(rounds: int, clicks: int, stored: int, warm_up: int) -> Measurements:
    measurements = Measurements()
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hitl-bench-")))
        empty, filled, started = (make_home(directory / name) for name in ("empty", "filled", "started"))
        replica = empty.replica(directory / "replica")
        await store_requests(filled, stored)

        floor = await stack.enter_async_context(floor_serving())
        first = await stack.enter_async_context(serving(empty))
        second = await stack.enter_async_context(serving(replica))
        third = await stack.enter_async_context(serving(filled))

        http_floor = await stack.enter_async_context(http_client(floor))
        stdio_floor = await stack.enter_async_context(
            stdio(sys.executable, ["-m", "benchmarks.floor"], empty.environment())
        )
        over_http = Subject("http", "", await stack.enter_async_context(http_client(first, empty.api_key)))
        with_stored = Subject(
            "http", FILLED, await stack.enter_async_context(http_client(third, filled.api_key))
        )
        over_stdio = Subject("stdio", "", await stack.enter_async_context(stdio(*stdio_command(started))))
        elsewhere = await stack.enter_async_context(http_client(second, empty.api_key))
        approver = await stack.enter_async_context(person(first, empty))
        approver_of_stored = await stack.enter_async_context(person(third, filled))

        for turn in range(warm_up + rounds):
            if turn == warm_up:
                measurements = Measurements()
            await _floor(measurements, "http floor", http_floor)
            await _floor(measurements, "stdio floor", stdio_floor)
            for subject in (over_http, with_stored, over_stdio):
                await _ask_and_check(measurements, subject)

        one, two = "one process", "two processes"
        for _ in range(clicks):
            await click_to_resume(measurements, one, over_http.agent, approver)
            await click_to_resume(measurements, one + FILLED, with_stored.agent, approver_of_stored)
            await click_to_resume(measurements, two, elsewhere, approver)
    measure_minting(measurements, rounds)
    return measurements


def main() -> int:
    """Exit code 0 when every target was met, 1 otherwise."""
    if sys.argv[1:2] and sys.argv[1] in _NAMED:
        return _NAMED[sys.argv[1]](sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="calls of each operation")
    parser.add_argument("--clicks", type=int, default=60, help="decisions of each kind")
    parser.add_argument("--stored", type=int, default=100_000, help="requests stored beforehand")
    parser.add_argument("--warm-up", type=int, default=30, help="calls of each operation that do not count")
    parser.add_argument("--output", type=Path, default=_HERE / "results.json", help="where the JSON goes")
    options = parser.parse_args()
    measurements = asyncio.run(_measure(options.rounds, options.clicks, options.stored, options.warm_up))
    met = print_report(measurements)
    write_json(measurements, options.output)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
