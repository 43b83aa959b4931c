"""`python -m benchmarks hostile`: what programs that flood, fork and fill cost the engine and everybody else.

Ratios are of medians taken turn by turn in one run. It needs a Docker engine on this host with the sandbox
image, and to be allowed to read the engine's processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.executions import Bench
from benchmarks.raw_docker import command
from benchmarks.verdicts import Verdict, report
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox
from executor_mcp.sandbox.settings import DEFAULT_IMAGE, PoolSettings
from hitl_contract.action_code import Language

_FLOOD = "head -c 300M /dev/zero"
_BOMBS = (
    (
        Language.PYTHON,
        "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.01)",
    ),
    (
        Language.PYTHON,
        "x = []\nwhile True:\n    try: x.append(bytearray(2**20))\n    except MemoryError: pass",
    ),
    (Language.BASH, "while true; do head -c 40M /dev/zero > fill; rm fill; done"),
    (Language.BASH, "yes"),
    (Language.BASH, "while true; do :; done"),
)
_BOMBS_AT_A_TIME = 10
_TICKS = os.sysconf("SC_CLK_TCK")


def _engine_seconds() -> float:
    """Processor time of the engine's own process so far."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        if path.read_text() == "dockerd\n":
            fields = (path.parent / "stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / _TICKS
    raise RuntimeError("no dockerd is among this host's processes")


async def _floods(bench: Bench, rounds: int) -> tuple[float, float]:
    """The engine's processor seconds for 300 MiB of output: attached, and through the pool's pipes."""
    attached: list[float] = []
    piped: list[float] = []
    for _ in range(rounds):
        await bench.quiet(2)
        began = _engine_seconds()
        run = ("docker", "run", "--rm", "--network=none", "--log-driver=none", "--entrypoint=bash")
        size = len(await command(*run, DEFAULT_IMAGE, "-c", _FLOOD))
        attached.append(_engine_seconds() - began)
        if size != 300 * 2**20:
            raise RuntimeError(f"attached, {size} bytes came out")
        await bench.quiet(2)
        began = _engine_seconds()
        outcome = await bench.run(_FLOOD, Language.BASH)
        piped.append(_engine_seconds() - began)
        if outcome.usage.output_bytes != 300 * 2**20:
            raise RuntimeError(f"the warm sandbox answered {outcome}")
    return min(attached), min(piped)


async def _keep_going(bench: Bench, language: Language, code: str) -> None:
    """Begins the program again whenever a limit has ended it."""
    while True:
        run = await bench.begin(code, language, wall_seconds=600, output_kb=64)
        try:
            await run.wait()
        except asyncio.CancelledError:
            await asyncio.shield(run.cancel())
            raise


async def _bombs(bench: Bench, rounds: int) -> tuple[float, float]:
    """Milliseconds of a normal execution: alone, and beside ten programs that do their worst."""
    quiet: list[float] = []
    for _ in range(rounds):
        await bench.quiet(2)
        quiet.append(await bench.timed_warm())
    keepers = [
        asyncio.create_task(_keep_going(bench, *_BOMBS[number % len(_BOMBS)]))
        for number in range(_BOMBS_AT_A_TIME)
    ]
    loud: list[float] = []
    for _ in range(rounds):
        # Beside programs that end and begin again the pool is never at rest.
        await bench.stocked(2)
        loud.append(await bench.timed_warm())
    for keeper in keepers:
        keeper.cancel()
    await asyncio.gather(*keepers, return_exceptions=True)
    return statistics.median(quiet) * 1000, statistics.median(loud) * 1000


async def measure(rounds: int) -> tuple[dict[str, float], list[Verdict]]:
    """Seconds and milliseconds by name, and what became of the targets."""
    engine = DockerEngine()
    settings = PoolSettings(minimum=2, maximum=12, patience_seconds=300)
    sandbox = PooledDockerSandbox(engine, DockerSandbox(engine, instance="benchmark-hostile"), settings)
    try:
        await sandbox.remove_leftovers()
        bench = Bench(sandbox)
        attached, piped = await _floods(bench, max(3, rounds // 8))
        quiet, loud = await _bombs(bench, rounds)
    finally:
        await sandbox.close()
    numbers = {
        "300 MiB attached, engine s": attached,
        "300 MiB piped, engine s": piped,
        "quiet ms": quiet,
        "beside ten bombs ms": loud,
    }
    return numbers, [
        Verdict("engine's time for output, pipes / attach", piped / attached, 0.05, False),
        Verdict("a normal execution, beside bombs / quiet", loud / quiet, 3, False),
    ]


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when every target was met, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks hostile", description=__doc__)
    parser.add_argument("--rounds", type=int, default=24, help="turns of each operation")
    options = parser.parse_args(arguments)
    numbers, verdicts = asyncio.run(measure(options.rounds))
    return report(numbers, verdicts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
