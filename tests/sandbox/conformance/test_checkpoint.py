"""A program that is stopped hands back its checkpoint, and is dead within a second all the same."""

from __future__ import annotations

import asyncio
import time

import pytest

from executor_mcp.sandbox.base import Sandbox
from executor_mcp.sandbox.run import LONG_RUN_SECONDS
from tests.sandbox.support import Recorder, begin, make_job

pytestmark = pytest.mark.asyncio(loop_scope="module")

_AT_ONCE = ("bubblewrap", "docker-warm", "burst")

CHECKPOINT = """
import json, os, signal, subprocess
for number in range(1, 65):
    signal.signal(number, signal.SIG_IGN) if number not in (9, 19, 32, 33) else None
with open("checkpoint.json", "w") as file: json.dump({"step": 3}, file)
with open("a-file-before-it.txt", "w") as file: file.write("x" * 100_000)
stopped = subprocess.Popen(["sleep", "600"])
os.kill(stopped.pid, signal.SIGSTOP)
print("up", flush=True)
signal.pause()
while True: pass
"""


@pytest.mark.parametrize("how", ["cancelled", "timed_out"])
async def test_a_stopped_program_leaves_its_checkpoint(sandbox: Sandbox, backend: str, how: str) -> None:
    sink = Recorder()
    wall_seconds = 60.0 if how == "cancelled" else 2.0
    running = await begin(sandbox, make_job("python", CHECKPOINT, wall_seconds=wall_seconds), sink)
    await asyncio.wait_for(sink.first.wait(), 40)
    if how == "cancelled":
        await asyncio.sleep(LONG_RUN_SECONDS)
        before = time.monotonic()
        await running.cancel()
        # The container of a cold start is removed as well by then, which the engine takes its time for.
        assert time.monotonic() - before < (1.0 if backend in _AT_ONCE else 10.0)
    outcome = await running.wait()
    assert outcome.termination == how
    assert outcome.files[0].path == "checkpoint.json"
    assert outcome.files[0].content == b'{"step": 3}'
