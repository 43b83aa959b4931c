"""A program that is stopped hands back its checkpoint, and is dead within a second all the same. One that
dies with its sandbox has told it before.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, cast

import pytest

from executor_mcp.sandbox import checkpoints
from executor_mcp.sandbox.base import Sandbox
from executor_mcp.sandbox.run import LONG_RUN_SECONDS
from tests.sandbox.support import Recorder, begin, make_job, until

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


GROWING = """
import json, os, time
def put(step):
    with open("next", "w") as file: json.dump({"step": step, "of": "x" * 100_000}, file)
    os.rename("next", "checkpoint.json")
put(1)
print("one", flush=True)
time.sleep(HOLD)
held = open("checkpoint.json", "w")
held.write(HALF); held.flush()
print("half", flush=True)
time.sleep(1)
held.close()
print("held", flush=True)
put(3)
time.sleep(600)
"""


async def tell_while_running(sandbox: Sandbox, *, half: str, hold_seconds: float) -> list[int]:
    """The steps that were told of a program which is killed with its whole sandbox in the end."""
    sink = Recorder()
    code = f"HALF, HOLD = {half!r}, {hold_seconds}\n{GROWING}"
    running = await begin(sandbox, make_job("python", code, wall_seconds=60, disk_mb=64), sink)
    await until(lambda: b"one" in sink.out, "it has begun")
    await until(lambda: sink.checkpoints, "the first checkpoint is told")
    await until(lambda: b"held" in sink.out, "the next was half written for a second")
    seen = len(sink.checkpoints)
    await until(lambda: len(sink.checkpoints) > seen, "the next one is told")
    await cast("Any", running)._channel.kill()
    outcome = await running.wait()
    assert outcome.termination == "sandbox_failed"
    assert (outcome.files, outcome.files_truncated) == ((), True)
    return [json.loads(content)["step"] for content in sink.checkpoints]


async def test_the_checkpoint_of_a_program_that_dies_with_its_sandbox_was_told_before_and_never_half(
    sandbox: Sandbox, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "FIRST_SECONDS", 0.1)
    monkeypatch.setattr(checkpoints, "NEXT_SECONDS", 0.2)
    # gVisor does not say who has a file open: there it is complete when it has not changed for a second.
    gvisor = backend == "gvisor"
    half = '{"step": 2' if gvisor else '{"step": 2}'
    assert set(await tell_while_running(sandbox, half=half, hold_seconds=3 if gvisor else 0.5)) == {1, 3}
