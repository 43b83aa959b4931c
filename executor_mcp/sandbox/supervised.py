"""What the sandboxes have in common: waiting for a supervisor, handing a job over, and keeping account of
runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from pydantic import TypeAdapter, ValidationError

from executor_mcp.sandbox.amounts import Amounts
from executor_mcp.sandbox.base import (
    LanguageDescription,
    OutputSink,
    PreparedRun,
    SandboxJob,
    SandboxRun,
)
from executor_mcp.sandbox.errors import SandboxFailed, SandboxUnavailable
from executor_mcp.sandbox.frames import FrameError, FrameKind
from executor_mcp.sandbox.job_message import BoundsInside, amounts_of, interpreter_of, job_frame
from executor_mcp.sandbox.run import Channel, SupervisedRun
from hitl_contract.action_code import Language, Limits, NetworkMode, Profile

READY_SECONDS = 20.0
JobMessage = Callable[[SandboxJob, Amounts, BoundsInside], bytes]
_NAMES: TypeAdapter[frozenset[str]] = TypeAdapter(frozenset[str])


@dataclass(frozen=True, eq=False)
class PreparedSandbox:
    """Implements `PreparedRun`: a sandbox whose supervisor waits for its job."""

    job: SandboxJob
    channel: Channel
    amounts: Amounts
    image_digest: str | None = None

    @property
    def execution_id(self) -> str:
        return self.job.execution_id


class SupervisedSandboxes:
    """The prepared and running sandboxes of one backend. Every one of them is removed, whatever happens."""

    def __init__(self, bounds: Callable[[], BoundsInside], message: JobMessage = job_frame) -> None:
        self._bounds = bounds
        self._message = message
        self._prepared: set[PreparedSandbox] = set()
        self._running: set[SupervisedRun] = set()

    async def prepare(
        self,
        job: SandboxJob,
        launch: Callable[[Amounts], Awaitable[Channel]],
        *,
        image_digest: str | None = None,
    ) -> PreparedSandbox:
        amounts = amounts_of(job)
        channel = await launch(amounts)
        try:
            async with asyncio.timeout(READY_SECONDS):
                interpreters = await _interpreters(channel)
            if interpreter_of(job.language) not in interpreters:
                raise SandboxUnavailable(
                    f"{interpreter_of(job.language)}, needed for {job.language}, is not in this sandbox"
                )
        except TimeoutError as error:
            await remove(channel)
            raise SandboxUnavailable(f"the sandbox was not ready within {READY_SECONDS:g} s") from error
        except BaseException:
            await remove(channel)
            raise
        prepared = PreparedSandbox(job, channel, amounts, image_digest)
        self._prepared.add(prepared)
        return prepared

    async def start(self, prepared: PreparedRun, sink: OutputSink) -> SandboxRun:
        sandbox = cast("PreparedSandbox", prepared)
        if sandbox not in self._prepared:
            raise SandboxFailed(f"the sandbox of {prepared.execution_id} was used or given back already")
        self._prepared.remove(sandbox)
        job = sandbox.job
        frame = self._message(job, sandbox.amounts, self._bounds())
        run = SupervisedRun(sandbox.channel, sandbox.amounts, job.limits.wall_seconds, sink)
        self._running.add(run)
        sandbox.channel.send(frame)
        run.begin(self._running.discard)
        return run

    async def discard(self, prepared: PreparedRun) -> None:
        sandbox = cast("PreparedSandbox", prepared)
        if sandbox in self._prepared:
            self._prepared.remove(sandbox)
            await remove(sandbox.channel)

    async def close(self) -> None:
        await asyncio.gather(
            *(run.cancel() for run in tuple(self._running)),
            *(self.discard(prepared) for prepared in tuple(self._prepared)),
        )


async def remove(channel: Channel) -> None:
    await channel.kill()
    await channel.remove()


async def _interpreters(channel: Channel) -> frozenset[str]:
    try:
        frame = await channel.read_frame()
        if frame is not None and frame.kind is FrameKind.READY:
            return _NAMES.validate_json(frame.payload)
    except (FrameError, ValidationError) as error:
        raise SandboxUnavailable(f"the sandbox answered wrongly: {error}") from error
    await channel.kill()
    aftermath = await channel.remove()
    reason = frame.payload.decode("utf-8", "replace") if frame is not None else aftermath.detail
    raise SandboxUnavailable(f"the sandbox ended before it was ready: {reason or 'it did not say why'}")


_VERSIONS = """
import json, shutil, sqlite3, subprocess, sys
def first_line(name):
    path = shutil.which(name)
    return path and subprocess.run([path, "--version"], capture_output=True, text=True).stdout.split("\\n")[0]
versions = {"python": sys.version.split()[0], "sql": "SQLite " + sqlite3.sqlite_version}
node, bash = first_line("node"), first_line("bash")
if node: versions["nodejs"] = node.removeprefix("v")
if bash: versions["bash"] = bash.split("version ")[-1].split(" ")[0]
versions
"""
_VERSION_NAMES: TypeAdapter[dict[Language, str]] = TypeAdapter(dict[Language, str])


class NoSink:
    """For programs of this project's own, whose output nobody reads."""

    def stdout(self, chunk: bytes) -> None:
        """Versions are a result, not output."""

    def stderr(self, chunk: bytes) -> None:
        """See `stdout`."""


async def probe_languages(
    prepare: Callable[[SandboxJob], Awaitable[PreparedRun]],
    start: Callable[[PreparedRun, OutputSink], Awaitable[SandboxRun]],
) -> tuple[LanguageDescription, ...]:
    """Asks the interpreters themselves, in a sandbox. Raises SandboxUnavailable."""
    job = SandboxJob(
        execution_id="probe",
        language=Language.PYTHON,
        code=_VERSIONS,
        input_data=None,
        files=(),
        limits=Limits(),
        profile=Profile.RESTRICTED,
        network_mode=NetworkMode.NONE,
    )
    outcome = await (await start(await prepare(job), NoSink())).wait()
    if outcome.result_json is None:
        reason = (
            outcome.detail or outcome.stderr.decode("utf-8", "replace").strip()[-200:] or outcome.termination
        )
        raise SandboxUnavailable(
            f"the interpreters in the sandbox could not be asked for their versions: {reason}"
        )
    versions = _VERSION_NAMES.validate_json(outcome.result_json)
    return tuple(
        LanguageDescription(language, versions[language]) for language in Language if language in versions
    )
