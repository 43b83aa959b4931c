"""The sandbox in containers of a Docker engine, and with a runtime of its own (gVisor's `runsc`) the same
again.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from executor_mcp.sandbox.amounts import Amounts
from executor_mcp.sandbox.base import (
    LanguageDescription,
    OutputSink,
    PreparedRun,
    SandboxDescription,
    SandboxHealth,
    SandboxJob,
    SandboxName,
    SandboxRun,
)
from executor_mcp.sandbox.docker import ContainerFacts, DockerEngine
from executor_mcp.sandbox.docker_container import (
    DockerContainer,
    Runtime,
    container_config,
    host_config,
    supervisor_command,
)
from executor_mcp.sandbox.errors import SandboxError, SandboxUnavailable
from executor_mcp.sandbox.host_directories import host_directories
from executor_mcp.sandbox.host_users import user_of_its_own
from executor_mcp.sandbox.job_message import BoundsInside
from executor_mcp.sandbox.languages.registry import BUILT_IN, Languages
from executor_mcp.sandbox.owner import Owner
from executor_mcp.sandbox.probe import probe_languages
from executor_mcp.sandbox.refusals import refuse_what_is_not_offered
from executor_mcp.sandbox.run import Channel
from executor_mcp.sandbox.seccomp import gvisor_profile, load_profile
from executor_mcp.sandbox.settings import DEFAULT_IMAGE
from executor_mcp.sandbox.supervised import SupervisedSandboxes

INSTANCE_LABEL = "hitl.sandbox.instance"
OWNER_LABEL = "hitl.sandbox.owner"
EXECUTION_LABEL = "hitl.sandbox.execution"
ENGINES_OWN = Runtime()
_BUILD_HINT = "hitl-executor image build"
_FOREIGN_SECONDS = 2 * 3600
"""Longer than the longest run: a container of another boot or host of this instance is abandoned by then."""


class DockerSandbox:
    """Implements `Sandbox`, with the name "gvisor" where its runtime is that, else "docker"."""

    def __init__(
        self,
        engine: DockerEngine,
        *,
        image: str = DEFAULT_IMAGE,
        runtime: Runtime = ENGINES_OWN,
        seccomp_profile: Path | None = None,
        instance: str = "default",
        languages: Languages = BUILT_IN,
    ) -> None:
        self.name: SandboxName = "gvisor" if runtime.gvisor else "docker"
        self._engine = engine
        self._image = image
        self.runtime = runtime
        self._seccomp_profile = seccomp_profile
        self._instance = instance
        self.owner = Owner.current()
        self.languages = languages
        self._sandboxes = SupervisedSandboxes(self._bounds_inside, languages)
        self._seccomp: str | None = None
        self._default_runtime: str | None = None
        self._described: tuple[str, tuple[LanguageDescription, ...]] | None = None

    async def check(self) -> SandboxHealth:
        try:
            facts = await self._engine.facts()
        except SandboxError as error:
            return SandboxHealth(
                ready=False, problem=str(error), remedy="install docker.io and start dockerd"
            )
        name = self.runtime.name
        if name is not None and name not in facts.runtimes:
            problem = f"the engine has no runtime '{name}' (it has {', '.join(sorted(facts.runtimes))})"
            remedy = f"install {name} and name it under 'runtimes' in /etc/docker/daemon.json"
            return SandboxHealth(ready=False, problem=problem, remedy=remedy)
        try:
            await self._describe_languages()
        except SandboxError as error:
            remedy = _BUILD_HINT if name is None else f"{_BUILD_HINT}, or a runtime other than {name}"
            return SandboxHealth(ready=False, problem=str(error), remedy=remedy)
        return SandboxHealth(ready=True)

    async def describe(self) -> SandboxDescription:
        image_id, languages = await self._describe_languages()
        return SandboxDescription(
            backend=self.name,
            runtime=self.runtime.name or await self._engines_runtime(),
            image_digest=image_id,
            languages=languages,
            details={"image": self._image},
        )

    async def prepare(self, job: SandboxJob) -> PreparedRun:
        image_id = await self.image_id()
        refuse_what_is_not_offered(job, image_digest=image_id)
        seccomp = await self.seccomp_text()
        labels = self.labels(job.execution_id)

        async def launch(amounts: Amounts) -> Channel:
            user = user_of_its_own()
            host = host_config(
                amounts,
                user=user,
                runtime=self.runtime,
                seccomp=seccomp,
                directories=host_directories(job),
            )
            container = container_config(labels, user=user)
            return await DockerContainer.launch(
                self._engine,
                image_id,
                supervisor_command(self.languages),
                host=host,
                container=container,
                gvisor=self.runtime.gvisor,
            )

        return await self._sandboxes.prepare(job, launch, image_digest=image_id)

    async def start(self, prepared: PreparedRun, sink: OutputSink) -> SandboxRun:
        return await self._sandboxes.start(prepared, sink)

    async def discard(self, prepared: PreparedRun) -> None:
        await self._sandboxes.discard(prepared)

    async def census(self) -> tuple[int, int]:
        """Containers of living executors of this instance, and those that dead ones left."""
        containers = await self._engine.labelled(INSTANCE_LABEL, self._instance, OWNER_LABEL)
        abandoned = sum(self._is_abandoned(container) for container in containers)
        return len(containers) - abandoned, abandoned

    async def remove_leftovers(self) -> int:
        containers = await self._engine.labelled(INSTANCE_LABEL, self._instance, OWNER_LABEL)
        abandoned = [container for container in containers if self._is_abandoned(container)]
        await asyncio.gather(*(self._engine.remove(container.container_id) for container in abandoned))
        return len(abandoned)

    async def close(self) -> None:
        await self._sandboxes.close()
        await self._engine.close()

    def labels(self, execution: str) -> dict[str, str]:
        """Whose a container is, and what for."""
        return {
            INSTANCE_LABEL: self._instance,
            OWNER_LABEL: str(self.owner),
            EXECUTION_LABEL: execution,
        }

    def _bounds_inside(self) -> BoundsInside:
        # gVisor's own threads are in the control group too, so its bound on processes has to be a wide one.
        return BoundsInside(processes=self.runtime.gvisor)

    def _is_abandoned(self, container: ContainerFacts) -> bool:
        owner = Owner.parse(container.owner)
        if owner is not None and owner.place == self.owner.place:
            return owner.is_gone()
        return time.time() - float(container.created) > _FOREIGN_SECONDS

    async def image_id(self) -> str:
        """What the image's name means now. Raises SandboxUnavailable."""
        image_id = await self._engine.image_id(self._image)
        if image_id is None:
            raise SandboxUnavailable(f"the engine has no image '{self._image}'; make it with: {_BUILD_HINT}")
        return image_id

    async def profile(self) -> dict[str, Any]:
        """The system calls that a program may make, in the engine's form. Raises SandboxUnavailable."""
        return await asyncio.to_thread(load_profile, self._seccomp_profile)

    async def seccomp_text(self) -> str:
        if self._seccomp is None:
            profile = await self.profile()
            self._seccomp = json.dumps(gvisor_profile(profile) if self.runtime.gvisor else profile)
        return self._seccomp

    async def _engines_runtime(self) -> str:
        if self._default_runtime is None:
            self._default_runtime = (await self._engine.facts()).default_runtime
        return self._default_runtime

    async def _describe_languages(self) -> tuple[str, tuple[LanguageDescription, ...]]:
        """Asked again when the image's name has come to mean another image."""
        image_id = await self.image_id()
        if self._described is None or self._described[0] != image_id:
            self._described = (image_id, await probe_languages(self.prepare, self.start, self.languages))
        return self._described
