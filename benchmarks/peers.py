"""`python -m benchmarks peers`: the warm pool beside Docker, llm-sandbox and mcp-run-python, in turns.

Ratios are of medians taken in one run. It needs a Docker engine on this host with the sandbox image, and uv,
which installs the peers into throw-away virtual environments.

- llm-sandbox runs the program in a session that is open, in a container of the same image that stays, without
  network and with none of our hardening. A warm execute is timed in process too, in a container used once.
- mcp-run-python runs it in one interpreter that all calls share (Pyodide in Deno). Ours is the whole path of
  an approved call over stdio: token, spend, audit, container, receipt.

mcp-run-python loads its parser of arguments from JSR when it starts, and micropip and pydantic from Pyodide's
content delivery network. Where these cannot be reached it cannot be run, and the run says so in its own words
instead of judging that target. Nothing of it is replaced.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.executions import Bench
from benchmarks.peer_environments import LLM_SANDBOX, MCP_RUN_PYTHON, CannotRun, install
from benchmarks.peer_sessions import Timed, llm_sandbox, mcp_run_python, our_executor
from benchmarks.raw_docker import RawDocker
from benchmarks.verdicts import Verdict, report
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox
from executor_mcp.sandbox.seccomp import load_profile
from executor_mcp.sandbox.settings import PoolSettings

WARM = "warm execute ms"
OVER_MCP = "execute over stdio ms"
OF_LLM_SANDBOX = "llm-sandbox run ms"
OF_MCP_RUN_PYTHON = "mcp-run-python ms"

_INSTANCE = "benchmark-peers"
_WAITING = 2
_WARM_UP = 2


@dataclass(frozen=True)
class Measured:
    """Numbers by name, and why each peer that is missing could not be run."""

    numbers: Mapping[str, float]
    not_run: Mapping[str, str]


def verdicts(numbers: Mapping[str, float]) -> list[Verdict]:
    """What became of the targets; one whose peer was not run has no verdict."""
    judged: list[Verdict] = []
    if OF_LLM_SANDBOX in numbers:
        ratio = numbers[OF_LLM_SANDBOX] / numbers[WARM]
        judged.append(Verdict("llm-sandbox run / warm execute", ratio, 100, True))
    if OF_MCP_RUN_PYTHON in numbers:
        ratio = numbers[OVER_MCP] / numbers[OF_MCP_RUN_PYTHON]
        judged.append(Verdict("execute over stdio / mcp-run-python", ratio, 1, False))
    return judged


async def measure(rounds: int, seconds: float) -> Measured:
    """Every turn runs each of them once, and waits before each until nothing is being made or removed."""
    times: dict[str, list[float]] = {}
    engine = DockerEngine()
    settings = PoolSettings(minimum=_WAITING, maximum=8, patience_seconds=120)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hitl-bench-")))
        peers, not_run = await _peers(stack, directory, seconds)
        seccomp = directory / "seccomp.json"
        seccomp.write_text(json.dumps(load_profile()))
        executor = await stack.enter_async_context(our_executor(directory / "executor"))
        sandbox = PooledDockerSandbox(engine, DockerSandbox(engine, instance=_INSTANCE), settings)
        stack.push_async_callback(sandbox.close)
        await sandbox.remove_leftovers()
        bench, docker = Bench(sandbox), RawDocker(seccomp)
        each: dict[str, Timed] = {
            WARM: bench.timed_warm,
            **peers,
            OVER_MCP: executor.run,
            "docker run ms": lambda: _timed(docker),
        }
        for turn in range(_WARM_UP + rounds):
            for name, run in each.items():
                await bench.quiet(_WAITING)
                await executor.quiet(_WAITING)
                taken = await run()
                if turn >= _WARM_UP:
                    times.setdefault(name, []).append(taken)
        numbers = {name: statistics.median(taken) * 1000 for name, taken in times.items()}
        numbers["served cold"] = sandbox.report().served_cold + await executor.served_cold()
    return Measured(numbers, not_run)


async def _peers(
    stack: AsyncExitStack, directory: Path, seconds: float
) -> tuple[dict[str, Timed], dict[str, str]]:
    """Those that can be run, started, and for the others why not."""
    started: dict[str, Timed] = {}
    not_run: dict[str, str] = {}
    for name, requirements, session in (
        (OF_LLM_SANDBOX, LLM_SANDBOX, llm_sandbox),
        (OF_MCP_RUN_PYTHON, MCP_RUN_PYTHON, mcp_run_python),
    ):
        peer = requirements[0]
        try:
            environment = await install(directory / peer.partition("=")[0], requirements, seconds)
            started[name] = await stack.enter_async_context(session(environment, seconds))
        except CannotRun as reason:
            not_run[peer] = str(reason)
    return started, not_run


async def _timed(docker: RawDocker) -> float:
    began = time.perf_counter()
    await docker.run()
    return time.perf_counter() - began


def tell(measured: Measured, output: Path | None) -> int:
    """Print everything; the exit code: 0 when every target that could be judged was met, 1 otherwise."""
    judged = verdicts(measured.numbers)
    code = report(measured.numbers, judged, output)
    console = Console()
    for peer, reason in measured.not_run.items():
        console.print(f"{peer} could not be run here, so nothing is said about it: {reason}", markup=False)
    return code if judged else 1


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when every target that could be judged was met, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="turns of each operation")
    parser.add_argument(
        "--start-seconds", type=float, default=300, help="how long installing and starting a peer may take"
    )
    parser.add_argument("--output", type=Path, default=None, help="where the JSON goes")
    options = parser.parse_args(arguments)
    return tell(asyncio.run(measure(options.rounds, options.start_seconds)), options.output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
