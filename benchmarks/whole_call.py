"""`python -m benchmarks stdio`: an approved program over MCP beside what it is made of, in turns.

- warm execute: the program in a container that waits, in this process: nothing but the sandbox.
- stdio floor: a tool that does nothing, on the same SDK and transport.
- execute over stdio: the whole path of `hitl-executor mcp`, with a token of its own for each call: token,
  policy, static analysis, the durable spend with "started", the container, the durable end with its receipt,
  the answer.

Ratios are of medians taken in one run. It needs a Docker engine on this host with the sandbox image.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from mcp import Client

from benchmarks.calls import action, answer, stdio
from benchmarks.executions import Bench
from benchmarks.peer_sessions import our_executor
from benchmarks.verdicts import Verdict, report
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox
from executor_mcp.sandbox.settings import PoolSettings

WARM = "warm execute ms"
FLOOR = "stdio floor ms"
WHOLE = "execute over stdio ms"

_INSTANCE = "benchmark-stdio"
_WAITING = 2
_WARM_UP = 10


def verdicts(numbers: Mapping[str, float]) -> list[Verdict]:
    """What became of the targets. Beside the warm execute alone it would look worse when that gets faster."""
    parts = numbers[WARM] + numbers[FLOOR]
    return [
        Verdict("execute over stdio / (warm execute + floor)", numbers[WHOLE] / parts, 3, False),
        Verdict("served cold", numbers["served cold"], 0, False),
    ]


async def measure(rounds: int) -> dict[str, float]:
    """Every turn runs each once, and waits before each until nothing is being made or removed."""
    times: dict[str, list[float]] = {}
    engine = DockerEngine()
    settings = PoolSettings(minimum=_WAITING, maximum=8, patience_seconds=120)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hitl-bench-")))
        executor = await stack.enter_async_context(our_executor(directory / "executor"))
        floor = await stack.enter_async_context(stdio(sys.executable, ["-m", "benchmarks.floor"], {}))
        sandbox = PooledDockerSandbox(engine, DockerSandbox(engine, instance=_INSTANCE), settings)
        stack.push_async_callback(sandbox.close)
        await sandbox.remove_leftovers()
        bench = Bench(sandbox)
        each = {WARM: bench.timed_warm, FLOOR: lambda: _echo(floor), WHOLE: executor.run}
        for turn in range(_WARM_UP + rounds):
            for name, run in each.items():
                await bench.quiet(_WAITING)
                await executor.quiet(_WAITING)
                taken = await run()
                if turn >= _WARM_UP:
                    times.setdefault(name, []).append(taken)
        numbers = {name: statistics.median(taken) * 1000 for name, taken in times.items()}
        numbers["served cold"] = sandbox.report().served_cold + await executor.served_cold()
    return numbers


async def _echo(floor: Client) -> float:
    arguments = {"action": action(), "justification": "benchmark"}
    began = time.perf_counter()
    await answer(floor, "echo", arguments)
    return time.perf_counter() - began


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when every target was met, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks stdio", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="turns of each")
    parser.add_argument("--output", type=Path, default=None, help="where the JSON goes")
    options = parser.parse_args(arguments)
    numbers = asyncio.run(measure(options.rounds))
    return report(numbers, verdicts(numbers), options.output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
