"""`python -m benchmarks endurance`: thousands of executions in a row, and what is left behind by them.

It needs a Docker engine on this host with the sandbox image. What is counted is this process's own and what
has the label of this benchmark, so that others may use the engine meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.executions import Bench, output_of
from benchmarks.verdicts import Verdict, report
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox
from executor_mcp.sandbox.settings import PoolSettings

_INSTANCE = "benchmark-endurance"
_WARM_UP = 40
_CALLERS = 3
_MEGABYTE = 1e6


_MAXIMUM = 2


@dataclass(frozen=True)
class _Kept:
    """What this process holds, with so many containers waiting, beside what `networks` take that are used
    again: each a container with its process, and a descriptor here.
    """

    networks: int
    containers: int
    processes: int
    descriptors: int
    directories: int
    megabytes: float


def _label() -> tuple[str, ...]:
    return ("--filter", f"label=hitl.sandbox.instance={_INSTANCE}")


def _now(networks: int = 0) -> _Kept:
    containers = output_of("docker", "ps", "-aq", "--no-trunc", *_label()).split()
    shims = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _is_shim_of(path, containers)]
    directories = list(Path(tempfile.gettempdir()).glob(f"hitl-pool-*_{os.getpid()}_*/*"))
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    descriptors = len(os.listdir("/proc/self/fd"))
    return _Kept(
        networks,
        len(containers) - networks,
        len(shims) - networks,
        descriptors - networks,
        len(directories),
        resident / _MEGABYTE,
    )


def _is_shim_of(path: Path, containers: list[str]) -> bool:
    try:
        words = path.read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return False
    return words[0].endswith("containerd-shim-runc-v2") and any(word in containers for word in words)


async def measure(count: int) -> tuple[dict[str, float], list[Verdict]]:
    """What was kept before and after by name, and what became of the targets."""
    engine = DockerEngine()
    settings = PoolSettings(minimum=2, maximum=_MAXIMUM, patience_seconds=300)
    sandbox = PooledDockerSandbox(engine, DockerSandbox(engine, instance=_INSTANCE), settings)
    bench = Bench(sandbox)

    async def caller(number: int) -> None:
        for _ in range(number):
            await bench.warm()

    try:
        await sandbox.remove_leftovers()
        await asyncio.gather(*(caller(_WARM_UP // _CALLERS) for _ in range(_CALLERS)))
        await bench.quiet(2)
        before = await asyncio.to_thread(_now, sandbox.networks_held())
        began = time.perf_counter()
        await asyncio.gather(*(caller(count // _CALLERS) for _ in range(_CALLERS)))
        rate = count / (time.perf_counter() - began)
        await bench.quiet(2)
        after = await asyncio.to_thread(_now, sandbox.networks_held())
        pool = sandbox.report()
    finally:
        await sandbox.close()
    end = await asyncio.to_thread(_now)
    numbers = {
        "executions /s": rate,
        "served warm": pool.served_warm,
        "served cold": pool.served_cold,
        "failed launches": pool.failed_launches,
        "MB before": before.megabytes,
        "MB after": after.megabytes,
    }
    return numbers, [
        Verdict("networks held", after.networks, 3 * _MAXIMUM, False),
        Verdict("containers more", after.containers - before.containers, 0, False),
        Verdict("shims more", after.processes - before.processes, 0, False),
        Verdict("descriptors more", after.descriptors - before.descriptors, 0, False),
        Verdict("directories more", after.directories - before.directories, 0, False),
        Verdict("megabytes more", after.megabytes - before.megabytes, 1 + count / 2000, False),
        Verdict("served cold", pool.served_cold, 0, False),
        Verdict("containers after the close", end.containers, 0, False),
        Verdict("directories after the close", end.directories, 0, False),
    ]


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when nothing was left behind, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks endurance", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="executions")
    options = parser.parse_args(arguments)
    numbers, verdicts = asyncio.run(measure(options.count))
    return report(numbers, verdicts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
