"""The docker sandbox with the warm pool before it: a waiting container where one fits, a cold start where
none does.
"""

from __future__ import annotations

import asyncio
import time
from typing import cast

from executor_mcp.sandbox.base import (
    OutputSink,
    PreparedRun,
    SandboxDescription,
    SandboxHealth,
    SandboxJob,
    SandboxName,
    SandboxRun,
)
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.errors import SandboxError, SandboxFailed
from executor_mcp.sandbox.job_message import BoundsInside, amounts_of, input_bytes_of
from executor_mcp.sandbox.pool.classes import WarmClass
from executor_mcp.sandbox.pool.compiled import CompiledSupervisors
from executor_mcp.sandbox.pool.container import WarmContainer
from executor_mcp.sandbox.pool.launching import DockerLauncher, remove_left_pool_directories
from executor_mcp.sandbox.pool.network import NetworkHolders
from executor_mcp.sandbox.pool.warm_pool import PoolReport, WarmPool
from executor_mcp.sandbox.refusals import refuse_what_is_not_offered
from executor_mcp.sandbox.settings import PoolSettings
from executor_mcp.sandbox.supervised import PreparedSandbox, SupervisedSandboxes
from hitl_contract.action_code import Limits

_ATTEMPTS = 3
_FRESH_SECONDS = 2.0
_COURTESY_SECONDS = 0.05
"""Whoever has just asked is let run first."""

_STALE_SECONDS = 60.0


class PooledDockerSandbox:
    """Implements `Sandbox`. The pool warms once `remove_leftovers` has looked after the dead, in the
    background: a start does not wait for it.
    """

    name: SandboxName = "docker"

    def __init__(self, engine: DockerEngine, cold: DockerSandbox, settings: PoolSettings) -> None:
        self._cold = cold
        self._holders = NetworkHolders(
            engine, most_kept=2 * settings.maximum, max_age_seconds=settings.max_age_seconds
        )
        self._launcher = DockerLauncher(
            engine,
            holders=self._holders,
            seccomp=cold.seccomp_text,
            compiled=CompiledSupervisors(cold.prepare, cold.start, cold.languages).of,
            languages=cold.languages,
            labels=cold.labels("pool"),
            owner=cold.owner,
            runtime=cold.runtime,
        )
        self._pool = WarmPool(self._launcher, settings)
        self._sandboxes = SupervisedSandboxes(BoundsInside, cold.languages, warm=True)
        self._description: SandboxDescription | None = None
        self._known_image: tuple[float, str] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    def report(self) -> PoolReport:
        return self._pool.report()

    def networks_thrown_away(self) -> int:
        """Network namespaces that were not used again, because a program had sent something in them."""
        return self._holders.thrown_away

    def networks_held(self) -> int:
        return self._holders.count

    async def try_one(self) -> str:
        """Makes one warm container and removes it; one line for people. Raises SandboxError."""
        kind = WarmClass.of(await self._cold.image_id(), Limits())
        began = time.monotonic()
        container = await self._launcher.launch(kind)
        seconds = time.monotonic() - began
        await self._launcher.end(container)
        await self._launcher.remove(container)
        return f"a container was warm after {seconds:.1f} s"

    async def until_idle(self, ready: int = 0) -> None:
        """See `WarmPool.until_idle`."""
        await self._pool.until_idle(ready)

    async def check(self) -> SandboxHealth:
        return await self._cold.check()

    async def describe(self) -> SandboxDescription:
        """The languages are asked for once an image; the image at most a minute ago."""
        image = await self._image()
        if self._description is None or self._description.image_digest != image:
            self._description = await self._cold.describe()
        return self._description

    async def prepare(self, job: SandboxJob) -> PreparedRun:
        image = await self._image()
        refuse_what_is_not_offered(job, image_digest=image)
        self._sandboxes.refuse_unknown(job)
        kind, input_bytes = WarmClass.of(image, job.limits), input_bytes_of(job)
        container = await self._pool.take(kind) if kind.fits(job, input_bytes) else None
        if container is None:
            return await self._cold.prepare(job)

        amounts = amounts_of(job, input_bytes)
        container.expect(amounts.output_bytes)
        return await self._sandboxes.prepared(
            job, container, amounts, container.interpreters, image_digest=image
        )

    async def start(self, prepared: PreparedRun, sink: OutputSink) -> SandboxRun:
        """A container that dies before it has let the program go has run nothing of it: another is taken."""
        for _ in range(_ATTEMPTS):
            channel = cast("PreparedSandbox", prepared).channel
            if not isinstance(channel, WarmContainer):
                return await self._cold.start(prepared, sink)
            run = await self._sandboxes.start(prepared, sink)
            try:
                begun = await channel.begun()
            except asyncio.CancelledError:
                await asyncio.shield(run.cancel())
                raise
            if begun:
                return run
            await run.cancel()
            prepared = await self.prepare(cast("PreparedSandbox", prepared).job)
        await self.discard(prepared)
        raise SandboxFailed(
            f"{_ATTEMPTS} sandboxes ended before the program could begin; nothing of it has run"
        )

    async def discard(self, prepared: PreparedRun) -> None:
        await self._sandboxes.discard(prepared)
        await self._cold.discard(prepared)

    async def remove_leftovers(self) -> int:
        removed = await self._cold.remove_leftovers()
        await asyncio.to_thread(remove_left_pool_directories)
        self._refreshing = asyncio.create_task(self._refresh(0))
        return removed

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        await self._sandboxes.close()
        await self._pool.close()
        await self._cold.close()

    async def _image(self) -> str:
        """The engine is asked beside the calls, and before one only when the answer has become old."""
        if self._known_image is None:
            return await self._image_now()
        asked_at, image = self._known_image
        age = time.monotonic() - asked_at
        if age > _STALE_SECONDS:
            return await self._image_now()
        if age > _FRESH_SECONDS and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.create_task(self._refresh(_COURTESY_SECONDS))
        return image

    async def _refresh(self, after_seconds: float) -> None:
        await asyncio.sleep(after_seconds)
        try:
            await self._image_now()
        except SandboxError:
            # Whoever asks next hears of it.
            self._known_image = None

    async def _image_now(self) -> str:
        image = await self._cold.image_id()
        known = None if self._known_image is None else self._known_image[1]
        self._known_image = (time.monotonic(), image)
        if image != known:
            self._pool.keep(WarmClass.of(image, Limits()))
        return image
