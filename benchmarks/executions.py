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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from executor_mcp.sandbox.base import SandboxJob, SandboxOutcome, SandboxRun
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox
from executor_mcp.sandbox.probe import NoSink
from executor_mcp.sandbox.seccomp import load_profile
from executor_mcp.sandbox.settings import DEFAULT_IMAGE, PoolSettings
from hitl_contract.action_code import Language, Limits, NetworkMode, Profile

_PROGRAM = "print(40 + 2)"
_CALLERS = 4
_MEGABYTE = 1e6
_FACTS = "{{index .Config.Entrypoint 0}} {{.State.Pid}}"
_INSTANCE = "benchmark-executions"


@dataclass(frozen=True)
class Verdict:
    """A measured value beside its bound; `at_least` tells the side of it that is good."""

    name: str
    value: float
    bound: float
    at_least: bool

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


class Bench:
    """The pooled sandbox and the same hardening by hand."""

    def __init__(self, sandbox: PooledDockerSandbox, seccomp: Path) -> None:
        self._sandbox = sandbox
        self._seccomp = seccomp
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

    async def begin(self, code: str, language: Language, **limits: Any) -> SandboxRun:
        prepared = await self._sandbox.prepare(self.job(code, language, **limits))
        return await self._sandbox.start(prepared, NoSink())

    async def run(self, code: str, language: Language) -> SandboxOutcome:
        return await (await self.begin(code, language)).wait()

    async def warm(self) -> None:
        outcome = await self.run(_PROGRAM, Language.PYTHON)
        if outcome.stdout != b"42\n":
            raise RuntimeError(f"the warm sandbox answered {outcome}")

    async def timed_warm(self) -> float:
        return await _timed(self.warm)

    async def cancel_warm(self) -> float:
        run = await self.begin("sleep 60", Language.BASH)
        await asyncio.sleep(0.05)
        began = time.perf_counter()
        await run.cancel()
        return time.perf_counter() - began

    async def docker_run(self) -> None:
        if await command("docker", "run", "--rm", *self._hardening(), "-c", _PROGRAM) != b"42\n":
            raise RuntimeError("docker run answered wrongly")

    async def docker_kill(self) -> float:
        options = ("run", "-d", "--rm", *self._hardening(), "-c", "import time; time.sleep(60)")
        name = (await command("docker", *options)).decode().strip()
        began = time.perf_counter()
        await command("docker", "kill", name)
        return time.perf_counter() - began

    def _hardening(self) -> list[str]:
        return [
            "--network=none", "--read-only", "--tmpfs=/tmp:rw,noexec,nosuid,size=64m", "--cap-drop=ALL",
            "--security-opt=no-new-privileges", f"--security-opt=seccomp={self._seccomp}", "--memory=272m",
            "--memory-swap=272m", "--cpus=1", "--pids-limit=65", "--ipc=none", "--log-driver=none",
            "--user=65532:65532", "--entrypoint=python3", DEFAULT_IMAGE,
        ]  # fmt: skip

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
    await command("/usr/bin/python3", "-c", _PROGRAM)


async def command(*words: str) -> bytes:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe)
    output, _ = await process.communicate()
    return output


def output_of(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


async def _timed(operation: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await operation()
    return time.perf_counter() - began


async def _sustained(operation: Callable[[], Awaitable[None]], count: int) -> float:
    """Completions a second with several callers, each asking again at once."""

    async def caller() -> None:
        for _ in range(count // _CALLERS):
            await operation()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    return count / (time.perf_counter() - began)


async def measure(rounds: int, sustained: int) -> tuple[dict[str, float], list[Verdict]]:
    """Milliseconds, rates and megabytes by name, and what became of the targets."""
    engine = DockerEngine()
    settings = PoolSettings(minimum=2, maximum=8, patience_seconds=120)
    sandbox = PooledDockerSandbox(engine, DockerSandbox(engine, instance=_INSTANCE), settings)
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="hitl-bench-") as directory:
        seccomp = Path(directory) / "seccomp.json"
        seccomp.write_text(json.dumps(load_profile()))
        bench = Bench(sandbox, seccomp)
        try:
            await sandbox.remove_leftovers()
            for turn in range(rounds + 2):
                await bench.quiet(2)
                taken = {
                    "warm": await _timed(bench.warm),
                    "docker run": await _timed(bench.docker_run),
                    "python3 -c": await _timed(_bare),
                }
                if turn % 4 == 1:
                    await bench.quiet(2)
                    taken["cancel warm"] = await bench.cancel_warm()
                    taken["docker kill"] = await bench.docker_kill()
                if turn >= 2:
                    for name, seconds in taken.items():
                        times.setdefault(name, []).append(seconds)
            await bench.quiet(2)
            numbers = {f"{name} ms": statistics.median(each) * 1000 for name, each in times.items()}
            numbers["memory MB"] = await asyncio.to_thread(bench.memory_of_waiting)
            numbers["docker run /s"] = await _sustained(bench.docker_run, sustained)
            await bench.quiet(2)
            numbers["warm /s"] = await _sustained(bench.warm, sustained)
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
        Verdict("sustained, warm / docker run", numbers["warm /s"] / numbers["docker run /s"], 1.8, True),
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
    if options.output is not None:
        document = {"numbers": numbers, "targets": {one.name: [one.value, one.met] for one in verdicts}}
        options.output.write_text(json.dumps(document, indent=2) + "\n")
    return print_verdicts(numbers, verdicts)


def print_verdicts(numbers: Mapping[str, float], verdicts: Sequence[Verdict]) -> int:
    """Exit code 0 when every target was met, 1 otherwise."""
    console = Console()
    table = Table("measured", "value")
    for name, value in numbers.items():
        table.add_row(name, f"{value:.2f}")
    console.print(table)
    table = Table("target", "bound", "measured", "met")
    for verdict in verdicts:
        side = "at least" if verdict.at_least else "at most"
        table.add_row(
            verdict.name, f"{side} {verdict.bound:g}", f"{verdict.value:.2f}", "yes" if verdict.met else "NO"
        )
    console.print(table)
    return 0 if all(verdict.met for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
