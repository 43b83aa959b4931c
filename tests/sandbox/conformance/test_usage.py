"""What a program uses is sampled while it runs, and its peaks are in the outcome however it ended."""

from __future__ import annotations

import asyncio
import time

import pytest

from executor_mcp.sandbox.base import Sandbox
from tests.sandbox.support import Recorder, begin, make_job, until

# They share one sandbox, which belongs to one event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

MEBIBYTE = 1 << 20
BUSY = """
import subprocess, time
held = bytearray(40 << 20)
others = [subprocess.Popen(["sleep", "600"]) for _ in range(3)]
end = time.process_time() + 0.2
while time.process_time() < end: pass
print("up", flush=True)
time.sleep(600)
"""


async def test_usage_is_sampled_and_its_peaks_are_kept_of_a_program_that_is_cancelled(
    sandbox: Sandbox, backend: str
) -> None:
    sink = Recorder()
    running = await begin(sandbox, make_job("python", BUSY, wall_seconds=600), sink)
    await asyncio.wait_for(sink.first.wait(), 40)
    seen = len(sink.samples)
    await until(lambda: len(sink.samples) >= seen + 3, "three more samples")
    last = sink.samples[-1]
    await running.cancel()
    usage = (await running.wait()).usage

    assert [one.wall_seconds for one in sink.samples] == sorted(one.wall_seconds for one in sink.samples)
    assert last.cpu_seconds is not None
    assert last.cpu_seconds >= 0.15
    assert last.memory_bytes is not None
    assert 30 * MEBIBYTE < last.memory_bytes < 200 * MEBIBYTE
    # gVisor keeps its processes to itself.
    assert last.processes is None if backend == "gvisor" else last.processes in (4, 5)
    assert usage.cpu_seconds is not None
    assert usage.cpu_seconds >= 0.15
    assert usage.peak_memory_bytes is not None
    assert usage.peak_memory_bytes > 30 * MEBIBYTE
    if backend != "gvisor":
        assert usage.peak_processes is not None
        assert usage.peak_processes >= 4


async def test_a_program_that_is_over_at_once_is_not_sampled(sandbox: Sandbox) -> None:
    sink = Recorder()
    began = time.monotonic()
    outcome = await (await begin(sandbox, make_job("bash", "true"), sink)).wait()
    assert outcome.termination == "exited"
    # A slow host or gVisor may need longer than the first sample for it, and for what comes after it.
    assert len(sink.samples) <= 1 + int((time.monotonic() - began) / 0.05)
