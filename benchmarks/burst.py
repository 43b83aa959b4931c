"""`python -m benchmarks burst`: the burst tier beside raw Docker, turn by turn, and a long row of executions.

Ratios are of rates taken in one run. It needs root, and a Docker engine on this host with the sandbox image.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.raw_docker import ANSWER, PROGRAM, RawDocker, completions_a_second
from benchmarks.verdicts import Verdict, report
from executor_mcp.sandbox.base import SandboxJob
from executor_mcp.sandbox.burst.sandbox import BurstSandbox
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import INSTANCE_LABEL, OWNER_LABEL, DockerSandbox
from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox
from executor_mcp.sandbox.probe import NoSink
from executor_mcp.sandbox.seccomp import load_profile
from executor_mcp.sandbox.settings import BurstSettings, PoolSettings
from hitl_contract.action_code import Language, Limits, NetworkMode, Profile

_AGENT = "benchmark"
_INSTANCE = "benchmark-burst"
_MEGABYTE = 1e6
_EMPTY_SECONDS = 30.0


@dataclass(frozen=True)
class Traces:
    """What executions could leave on the host."""

    containers: int
    processes: int
    descriptors: int
    directories: int
    control_groups: int
    megabytes: float

    @classmethod
    async def now(cls, engine: DockerEngine) -> Traces:
        containers = await engine.labelled(INSTANCE_LABEL, _INSTANCE, OWNER_LABEL)
        return await asyncio.to_thread(cls._look, len(containers))

    @classmethod
    def _look(cls, containers: int) -> Traces:
        gc.collect()
        own = f"_{os.getpid()}_"
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            containers=containers,
            processes=sum(path.name.isdigit() for path in Path("/proc").iterdir()),
            descriptors=len(os.listdir("/proc/self/fd")),
            directories=len(list(Path(tempfile.gettempdir()).glob(f"hitl-*{own}*"))),
            control_groups=sum(own in name for _, names, _ in os.walk("/sys/fs/cgroup") for name in names),
            megabytes=pages * os.sysconf("SC_PAGE_SIZE") / _MEGABYTE,
        )


class Bench:
    """Programs in the burst tier."""

    def __init__(self, sandbox: BurstSandbox) -> None:
        self._sandbox = sandbox
        self._number = 0
        self.elsewhere = 0

    async def burst(self) -> None:
        self._number += 1
        job = SandboxJob(
            execution_id=f"burst-{self._number}",
            language=Language.PYTHON,
            code=PROGRAM,
            input_data=None,
            files=(),
            limits=Limits(),
            profile=Profile.STANDARD,
            network_mode=NetworkMode.NONE,
            principal=_AGENT,
        )
        prepared = await self._sandbox.prepare(job)
        self.elsewhere += prepared.backend != "burst"
        outcome = await (await self._sandbox.start(prepared, NoSink())).wait()
        if outcome.stdout != ANSWER:
            raise RuntimeError(f"the burst tier answered {outcome}")


async def _latency(operation: Callable[[], Awaitable[None]], count: int) -> float:
    seconds: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        await operation()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1000


async def measure(rounds: int, row: int) -> tuple[dict[str, float], list[Verdict]]:
    """Rates, milliseconds and traces by name, and what became of the targets."""
    engine = DockerEngine()
    cold = DockerSandbox(engine, instance=_INSTANCE)
    # For what the tier does not take; nothing of this run may need it.
    ordinary = PooledDockerSandbox(engine, cold, PoolSettings(minimum=0))
    settings = BurstSettings(enabled=True, agents=frozenset({_AGENT}))
    sandbox = BurstSandbox(engine, ordinary, cold, settings)
    numbers: dict[str, float] = {}
    ratios: list[float] = []
    with tempfile.TemporaryDirectory(prefix="hitl-bench-") as directory:
        seccomp = Path(directory) / "seccomp.json"
        seccomp.write_text(json.dumps(load_profile()))
        bench, raw = Bench(sandbox), RawDocker(seccomp)
        try:
            await sandbox.remove_leftovers()
            await completions_a_second(bench.burst, 40)
            for _ in range(rounds):
                docker = await completions_a_second(raw.run, 12)
                burst = await completions_a_second(bench.burst, 200)
                ratios.append(burst / docker)
                numbers["docker run /s"], numbers["burst /s"] = docker, burst
            numbers["one burst execution ms"] = await _latency(bench.burst, 100)
            await sandbox.until_quiet()
            before = await Traces.now(engine)
            if row:
                numbers["row /s"] = await completions_a_second(bench.burst, row)
            await sandbox.until_quiet()
            after = await _settled(engine, before)
            told = sandbox.report()
            numbers["outer containers"] = 0 if told is None else told.launched
            numbers["outer containers condemned"] = 0 if told is None else told.condemned
            numbers["executions"] = 0 if told is None else told.executions
        finally:
            await sandbox.close()
    other = DockerEngine()
    left = len(await other.labelled(INSTANCE_LABEL, _INSTANCE, OWNER_LABEL))
    await other.close()
    verdicts = [
        Verdict("burst / docker run, sustained by 4 callers", statistics.median(ratios), 20, at_least=True),
        Verdict("executions that ran elsewhere", bench.elsewhere, 0, at_least=False),
        Verdict("outer containers condemned", numbers["outer containers condemned"], 0, at_least=False),
        Verdict("containers left behind", left, 0, at_least=False),
    ]
    for name, most in (
        ("containers", 0), ("processes", 20), ("descriptors", 8), ("directories", 0), ("control_groups", 0),
        ("megabytes", 30),
    ):  # fmt: skip
        grown = getattr(after, name) - getattr(before, name)
        verdicts.append(Verdict(f"more {name} after {row} in a row", grown, most, at_least=False))
    return numbers, verdicts


async def _settled(engine: DockerEngine, before: Traces) -> Traces:
    """The kernel lets go of namespaces and groups a little later than of the processes."""
    deadline = time.monotonic() + _EMPTY_SECONDS
    while True:
        now = await Traces.now(engine)
        quiet = now.processes <= before.processes + 20 and now.control_groups <= before.control_groups
        if quiet or time.monotonic() > deadline:
            return now
        await asyncio.sleep(0.5)


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when every target was met, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks burst", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of docker run and of the burst tier")
    parser.add_argument("--row", type=int, default=20_000, help="executions in a row, to look for leaks")
    parser.add_argument("--output", type=Path, default=None, help="where the JSON goes")
    options = parser.parse_args(arguments)
    numbers, verdicts = asyncio.run(measure(options.rounds, options.row))
    return report(numbers, verdicts, options.output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
