"""Jobs, a sink that remembers, and what tests ask of the host."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from executor_mcp.sandbox.base import Sandbox, SandboxJob, SandboxOutcome, SandboxRun
from executor_mcp.sandbox.usage import UsageSample
from hitl_contract.action_code import InputFile, Language, Limits, NetworkMode, Profile
from tests.sandbox.idle_loop import lag_of_one_turn

ANSWER_SECONDS = 20.0


@dataclass
class Recorder:
    """An `OutputSink` that keeps what it was given and says when the first bytes came."""

    out: bytes = b""
    err: bytes = b""
    first: asyncio.Event = field(default_factory=asyncio.Event)
    samples: list[UsageSample] = field(default_factory=list[UsageSample])
    checkpoints: list[bytes] = field(default_factory=list[bytes])

    def stdout(self, chunk: bytes) -> None:
        self.out += chunk
        self.first.set()

    def stderr(self, chunk: bytes) -> None:
        self.err += chunk

    def usage(self, sample: UsageSample) -> None:
        self.samples.append(sample)

    def checkpoint(self, content: bytes) -> None:
        self.checkpoints.append(content)


def make_job(
    language: str,
    code: str,
    *,
    input_data: Any = None,
    files: Sequence[InputFile] = (),
    network_mode: NetworkMode = NetworkMode.NONE,
    packages: tuple[str, ...] = (),
    runtime: str | None = None,
    profile: Profile = Profile.RESTRICTED,
    **limits: Any,
) -> SandboxJob:
    return SandboxJob(
        execution_id=f"exe_{uuid.uuid4().hex}",
        language=Language(language),
        code=code,
        input_data=input_data,
        files=tuple(files),
        limits=Limits(**limits),
        profile=profile,
        network_mode=network_mode,
        packages=packages,
        runtime=runtime,
    )


async def begin(sandbox: Sandbox, job: SandboxJob, sink: Recorder | None = None) -> SandboxRun:
    return await sandbox.start(await sandbox.prepare(job), sink if sink is not None else Recorder())


async def run(sandbox: Sandbox, language: str, code: str, **options: Any) -> SandboxOutcome:
    return await (await begin(sandbox, make_job(language, code, **options))).wait()


def result_of(outcome: SandboxOutcome) -> Any:
    """The result value; a run without one fails the test with what the program said."""
    assert outcome.result_json is not None, (outcome, outcome.stdout[-2000:], outcome.stderr[-2000:])
    return json.loads(outcome.result_json)


async def until(condition: Any, what: str, seconds: float = ANSWER_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)


def processes_with(marker: str) -> list[int]:
    """Processes of this host whose command line has the marker."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


class LagMeter:
    """Measures how long the event loop was kept from a task that wants to run every 5 ms.

    A process that does nothing else measures the same at the same time: `beyond_idle` is what our loop waited
    longer than that one, thus what is ours and not the busy machine's.
    """

    def __init__(self) -> None:
        self._worst = 0.0
        self._idle_worst = 0.0
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.subprocess.Process | None = None

    @property
    def beyond_idle(self) -> float:
        return self._worst - self._idle_worst

    async def __aenter__(self) -> LagMeter:
        self._idle = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.sandbox.idle_loop", stdin=PIPE, stdout=PIPE
        )
        assert self._idle.stdout is not None
        assert await self._idle.stdout.readline() == b"ready\n"
        self._task = asyncio.create_task(self._measure())
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._task is not None
        assert self._idle is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        out, _ = await self._idle.communicate(b"")
        self._idle_worst = float(out)

    async def _measure(self) -> None:
        while True:
            self._worst = max(self._worst, await lag_of_one_turn())
