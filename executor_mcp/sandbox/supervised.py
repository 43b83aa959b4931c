"""What the sandboxes have in common: waiting for a supervisor, handing a job over, and keeping account of
runs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from pydantic import TypeAdapter, ValidationError

from executor_mcp.sandbox.amounts import Amounts
from executor_mcp.sandbox.base import (
    OutputSink,
    PreparedRun,
    SandboxJob,
    SandboxName,
    SandboxRun,
)
from executor_mcp.sandbox.errors import SandboxError, SandboxFailed, SandboxUnavailable
from executor_mcp.sandbox.frames import FrameError, FrameKind
from executor_mcp.sandbox.job_message import BoundsInside, JobFrames, amounts_of, input_bytes_of
from executor_mcp.sandbox.languages.registry import Languages
from executor_mcp.sandbox.run import Channel, SupervisedRun

READY_SECONDS = 20.0
_NAMES: TypeAdapter[frozenset[str]] = TypeAdapter(frozenset[str])


@dataclass(frozen=True, eq=False)
class PreparedSandbox:
    """Implements `PreparedRun`: a sandbox whose supervisor waits for its job."""

    job: SandboxJob
    channel: Channel
    amounts: Amounts
    image_digest: str | None = None
    backend: SandboxName | None = None

    @property
    def execution_id(self) -> str:
        return self.job.execution_id


class SupervisedSandboxes:
    """The prepared and running sandboxes of one backend. Every one of them is removed, whatever happens."""

    def __init__(
        self, bounds: Callable[[], BoundsInside], languages: Languages, *, warm: bool = False
    ) -> None:
        """`warm`: the sandboxes hold drivers already."""
        self._bounds = bounds
        self._languages = languages
        self._frames = JobFrames(languages, warm=warm)
        self._prepared: set[PreparedSandbox] = set()
        self._running: set[SupervisedRun] = set()

    async def prepare(
        self,
        job: SandboxJob,
        launch: Callable[[Amounts], Awaitable[Channel]],
        *,
        image_digest: str | None = None,
        backend: SandboxName | None = None,
    ) -> PreparedSandbox:
        self.refuse_unknown(job)
        amounts = amounts_of(job, input_bytes_of(job))
        channel = await launch(amounts)
        try:
            async with asyncio.timeout(READY_SECONDS):
                interpreters = await interpreters_of(channel)
        except TimeoutError as error:
            await remove(channel)
            raise SandboxUnavailable(f"the sandbox was not ready within {READY_SECONDS:g} s") from error
        except BaseException:
            await remove(channel)
            raise
        return await self.prepared(
            job, channel, amounts, interpreters, image_digest=image_digest, backend=backend
        )

    async def prepared(
        self,
        job: SandboxJob,
        channel: Channel,
        amounts: Amounts,
        interpreters: frozenset[str],
        *,
        image_digest: str | None = None,
        backend: SandboxName | None = None,
    ) -> PreparedSandbox:
        """Of a sandbox that is ready, and has these. Raises SandboxError, and then it is removed."""
        try:
            interpreter = self._languages.of(job.language).interpreter
            if interpreter not in interpreters:
                raise SandboxUnavailable(f"{interpreter}, needed for {job.language}, is not in this sandbox")
        except SandboxError:
            await remove(channel)
            raise
        prepared = PreparedSandbox(job, channel, amounts, image_digest, backend)
        self._prepared.add(prepared)
        return prepared

    def refuse_unknown(self, job: SandboxJob) -> None:
        """Before anything is started. Raises SandboxRefused."""
        self._languages.of(job.language)

    async def start(self, prepared: PreparedRun, sink: OutputSink) -> SandboxRun:
        sandbox = cast("PreparedSandbox", prepared)
        if sandbox not in self._prepared:
            raise SandboxFailed(f"the sandbox of {prepared.execution_id} was used or given back already")
        self._prepared.remove(sandbox)
        job = sandbox.job
        is_alone = not self._running
        sandbox.channel.send(self._frames.frame(job, sandbox.amounts, self._bounds()))
        if is_alone:
            # Woken up, the sandbox may have been given this very processor. Beside others it would be theirs.
            os.sched_yield()
        run = SupervisedRun(sandbox.channel, sandbox.amounts, job.limits.wall_seconds, sink)
        self._running.add(run)
        run.begin(self._running.discard)
        if is_alone:
            run.rehearse()
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


async def interpreters_of(channel: Channel) -> frozenset[str]:
    """Reads READY. Raises SandboxUnavailable."""
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
