"""The docker sandbox with the burst tier before it, for those agents and profiles that the operator named."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

from executor_mcp.sandbox.amounts import Amounts
from executor_mcp.sandbox.base import (
    OutputSink,
    PreparedRun,
    Sandbox,
    SandboxDescription,
    SandboxHealth,
    SandboxJob,
    SandboxName,
    SandboxRun,
)
from executor_mcp.sandbox.burst.execution import BurstExecution
from executor_mcp.sandbox.burst.launching import BurstLauncher, remove_left_burst_directories
from executor_mcp.sandbox.burst.rules import may_burst
from executor_mcp.sandbox.burst.tier import BurstReport, BurstTier, NoRoom
from executor_mcp.sandbox.control_groups import ControlGroups
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.errors import SandboxError, SandboxUnavailable
from executor_mcp.sandbox.job_message import BoundsInside
from executor_mcp.sandbox.refusals import refuse_what_is_not_offered
from executor_mcp.sandbox.run import Channel
from executor_mcp.sandbox.settings import BurstSettings
from executor_mcp.sandbox.supervised import PreparedSandbox, SupervisedSandboxes


class BurstSandbox:
    """Implements `Sandbox`. What the tier cannot take runs in `ordinary`, which gives more, never less."""

    name: SandboxName = "docker"

    def __init__(
        self, engine: DockerEngine, ordinary: Sandbox, cold: DockerSandbox, settings: BurstSettings
    ) -> None:
        self._engine = engine
        self._ordinary = ordinary
        self._cold = cold
        self._settings = settings
        self._sandboxes = SupervisedSandboxes(
            BoundsInside, cold.languages, warm=not settings.fresh_interpreter
        )
        self._setting_up = asyncio.Lock()
        self._made: tuple[BurstLauncher, ControlGroups] | None = None
        self._tier: BurstTier | None = None

    @property
    def ordinary(self) -> Sandbox:
        """Where everything else runs."""
        return self._ordinary

    def report(self) -> BurstReport | None:
        """None before the first program of the tier."""
        return None if self._tier is None else self._tier.report()

    async def try_one(self) -> str:
        """Makes an outer container and runs nothing in it; one line for people. Raises SandboxError."""
        image = (await self._cold.describe()).image_digest
        launcher, _ = await self._parts()
        outer = await launcher.launch(image or "")
        await outer.remove()
        agents, profiles = sorted(self._settings.agents), sorted(self._settings.profiles)
        return (
            f"works, for {', '.join(agents)} and the profiles {', '.join(profiles)}; see docs/burst-tier.md"
        )

    async def until_quiet(self) -> None:
        """See `BurstTier.until_quiet`."""
        if self._tier is not None:
            await self._tier.until_quiet()

    async def check(self) -> SandboxHealth:
        return await self._ordinary.check()

    async def describe(self) -> SandboxDescription:
        description = await self._ordinary.describe()
        return replace(description, burst_profiles=tuple(sorted(self._settings.profiles)))

    async def prepare(self, job: SandboxJob) -> PreparedRun:
        if not may_burst(self._settings, job):
            return await self._ordinary.prepare(job)
        image = (await self._ordinary.describe()).image_digest
        refuse_what_is_not_offered(job, image_digest=image)
        try:
            return await self._prepare(job, cast("str", job.principal), cast("str", image))
        except (NoRoom, SandboxError):
            return await self._ordinary.prepare(job)

    async def start(self, prepared: PreparedRun, sink: OutputSink) -> SandboxRun:
        return await self._of(prepared).start(prepared, sink)

    async def discard(self, prepared: PreparedRun) -> None:
        await self._of(prepared).discard(prepared)

    async def remove_leftovers(self) -> int:
        """What dead processes left here has the labels and the names of what they left of any container."""
        await asyncio.to_thread(remove_left_burst_directories)
        _, groups = await self._parts()
        return await self._ordinary.remove_leftovers() + await asyncio.to_thread(groups.remove_leftovers)

    async def close(self) -> None:
        await self._sandboxes.close()
        if self._tier is not None:
            await self._tier.close()
        await self._ordinary.close()

    async def _prepare(self, job: SandboxJob, principal: str, image: str) -> PreparedRun:
        tier = await self._open()
        spawned: list[BurstExecution] = []

        async def launch(amounts: Amounts) -> Channel:
            execution = await tier.spawn(principal, image, amounts)
            execution.expect(amounts.output_bytes)
            spawned.append(execution)
            return execution

        try:
            return await self._sandboxes.prepare(job, launch, image_digest=image, backend="burst")
        except SandboxError as error:
            for execution in spawned:
                execution.condemn(str(error))
            raise

    def _of(self, prepared: PreparedRun) -> Sandbox | SupervisedSandboxes:
        if isinstance(prepared, PreparedSandbox) and isinstance(prepared.channel, BurstExecution):
            return self._sandboxes
        return self._ordinary

    async def _open(self) -> BurstTier:
        launcher, groups = await self._parts()
        if self._tier is None:
            self._tier = BurstTier(launcher, groups, self._settings)
        return self._tier

    async def _parts(self) -> tuple[BurstLauncher, ControlGroups]:
        """Raises SandboxUnavailable where no control group can be made: the tier is not run without them."""
        async with self._setting_up:
            if self._made is None:
                groups = await asyncio.to_thread(ControlGroups.find, self._cold.owner)
                if groups is None:
                    raise SandboxUnavailable(
                        "the burst tier needs control groups of its own for memory and processes; run the "
                        "executor as root, or give its service a delegated control group (Delegate=yes)"
                    )
                launcher = BurstLauncher(
                    self._engine,
                    profile=await self._cold.profile(),
                    languages=self._cold.languages,
                    labels=self._cold.labels("burst"),
                    owner=self._cold.owner,
                    runtime=self._cold.runtime,
                    settings=self._settings,
                )
                self._made = (launcher, groups)
            return self._made
