"""`python -m benchmarks executions`: the warm pool beside raw Docker and a bare interpreter, turn by turn.

Ratios are of medians taken in one run. It needs a Docker engine on this host with the sandbox image.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.raw_docker import ANSWER, CALLERS, PROGRAM, RawDocker, command, completions_a_second
from benchmarks.verdicts import Verdict, report
from executor_mcp.sandbox.base import SandboxJob, SandboxOutcome, SandboxRun
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox
from executor_mcp.sandbox.probe import NoSink
from executor_mcp.sandbox.seccomp import load_profile
from executor_mcp.sandbox.settings import PoolSettings
from hitl_contract.action_code import Language, Limits, NetworkMode, Profile

_MEGABYTE = 1e6
_TURNS = 3
_FACTS = "{{index .Config.Entrypoint 0}} {{.State.Pid}}"
_INSTANCE = "benchmark-executions"


class Bench:
    """Programs in the pooled sandbox."""

    def __init__(self, sandbox: PooledDockerSandbox) -> None:
        self._sandbox = sandbox
        self._number = 0

    def job(self, code: str, language: Language, **limits: Any) -> SandboxJob:
        self._number += 1
        return SandboxJob(
            execution_id=f"benchmark-{self._number}",
            language=language,
            code=code,
            input_data=None,
            files=(),
            limits=Limits(**limits),
            profile=Profile.RESTRICTED,
            network_mode=NetworkMode.NONE,
        )

    async def quiet(self, count: int) -> None:
        """Until so many containers wait and nothing is being made or removed."""
        await self._sandbox.until_idle(count)

    async def stocked(self, count: int) -> None:
        """Until so many containers wait, whatever else is going on."""
        while self._sandbox.report().ready < count:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)

    async def begin(self, code: str, language: Language, **limits: Any) -> SandboxRun:
        prepared = await self._sandbox.prepare(self.job(code, language, **limits))
        return await self._sandbox.start(prepared, NoSink())

    async def run(self, code: str, language: Language) -> SandboxOutcome:
        return await (await self.begin(code, language)).wait()

    async def warm(self) -> None:
        await self.timed_warm()

    async def timed_warm(self) -> float:
        """Seconds from a job to its outcome."""
        job = self.job(PROGRAM, Language.PYTHON)
        began = time.perf_counter()
        prepared = await self._sandbox.prepare(job)
        outcome = await (await self._sandbox.start(prepared, NoSink())).wait()
        taken = time.perf_counter() - began
        if outcome.stdout != ANSWER:
            raise RuntimeError(f"the warm sandbox answered {outcome}")
        return taken

    async def cancel_warm(self) -> float:
        run = await self.begin("sleep 60", Language.BASH)
        await asyncio.sleep(0.05)
        began = time.perf_counter()
        await run.cancel()
        return time.perf_counter() - began

    def memory_of_waiting(self) -> float:
        """Megabytes charged to the control group of a container that waits: the median."""
        listed = output_of(
            "docker", "ps", "-q", "--filter", f"label=hitl.sandbox.instance={_INSTANCE}"
        ).split()
        facts = [output_of("docker", "inspect", "-f", _FACTS, container).split() for container in listed]
        return statistics.median(_charged(process) for command, process in facts if command == "python3")


def _charged(process: str) -> float:
    for line in Path(f"/proc/{process}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for file in (
            Path(f"/sys/fs/cgroup/memory{path}/memory.usage_in_bytes"),
            Path(f"/sys/fs/cgroup{path}/memory.current"),
        ):
            if controllers in ("memory", "") and file.exists():
                return int(file.read_text()) / _MEGABYTE
    raise RuntimeError("the control group of a waiting container is not where it can be read")


async def _bare() -> None:
    await command("/usr/bin/python3", "-c", PROGRAM)


def output_of(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


async def _timed(operation: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await operation()
    return time.perf_counter() - began


async def _sustained(bench: Bench, docker: RawDocker, count: int) -> dict[str, float]:
    """In turns. Each begins when what was in stock is used up, and the callers are all under way."""
    rates: list[tuple[float, float]] = []
    for _ in range(_TURNS):
        await completions_a_second(docker.run, CALLERS)
        by_hand = await completions_a_second(docker.run, count)
        await completions_a_second(bench.warm, 3 * CALLERS)
        rates.append((by_hand, await completions_a_second(bench.warm, count)))
        await bench.quiet(2)
    return {
        "docker run /s": statistics.median(by_hand for by_hand, _ in rates),
        "warm /s": statistics.median(warm for _, warm in rates),
        "warm / docker run": statistics.median(warm / by_hand for by_hand, warm in rates),
    }


async def measure(rounds: int, sustained: int) -> tuple[dict[str, float], list[Verdict]]:
    """Milliseconds, rates and megabytes by name, and what became of the targets."""
    engine = DockerEngine()
    settings = PoolSettings(minimum=2, maximum=8, patience_seconds=120)
    sandbox = PooledDockerSandbox(engine, DockerSandbox(engine, instance=_INSTANCE), settings)
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="hitl-bench-") as directory:
        seccomp = Path(directory) / "seccomp.json"
        seccomp.write_text(json.dumps(load_profile()))
        bench, docker = Bench(sandbox), RawDocker(seccomp)
        try:
            await sandbox.remove_leftovers()
            for turn in range(rounds + 2):
                await bench.quiet(2)
                taken = {
                    "warm": await bench.timed_warm(),
                    "docker run": await _timed(docker.run),
                    "python3 -c": await _timed(_bare),
                }
                if turn % 4 == 1:
                    await bench.quiet(2)
                    taken["cancel warm"] = await bench.cancel_warm()
                    taken["docker kill"] = await docker.kill()
                if turn >= 2:
                    for name, seconds in taken.items():
                        times.setdefault(name, []).append(seconds)
            await bench.quiet(2)
            numbers = {f"{name} ms": statistics.median(each) * 1000 for name, each in times.items()}
            numbers["memory MB"] = await asyncio.to_thread(bench.memory_of_waiting)
            numbers |= await _sustained(bench, docker, sustained)
            await sandbox.until_idle()
            numbers["served warm"] = sandbox.report().served_warm
            numbers["served cold"] = sandbox.report().served_cold
        finally:
            await sandbox.close()
    left = len(
        output_of("docker", "ps", "-aq", "--filter", f"label=hitl.sandbox.instance={_INSTANCE}").split()
    )
    return numbers, [
        Verdict("docker run / warm execute", numbers["docker run ms"] / numbers["warm ms"], 150, True),
        Verdict("warm execute / python3 -c", numbers["warm ms"] / numbers["python3 -c ms"], 0.15, False),
        Verdict("sustained, warm / docker run", numbers["warm / docker run"], 1.8, True),
        Verdict("docker kill / cancel", numbers["docker kill ms"] / numbers["cancel warm ms"], 20, True),
        Verdict("MB of a container that waits", numbers["memory MB"], 20, False),
        Verdict("containers left behind", left, 0, False),
    ]


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when every target was met, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks executions", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="turns of each operation")
    parser.add_argument("--sustained", type=int, default=80, help="executions of each kind with 4 callers")
    parser.add_argument("--output", type=Path, default=None, help="where the JSON goes")
    options = parser.parse_args(arguments)
    numbers, verdicts = asyncio.run(measure(options.rounds, options.sustained))
    return report(numbers, verdicts, options.output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
