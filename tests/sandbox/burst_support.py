"""The burst tier as tests use it: every program is one agent's, in one outer container."""

from __future__ import annotations

from dataclasses import replace

from executor_mcp.sandbox.base import (
    OutputSink,
    PreparedRun,
    SandboxDescription,
    SandboxHealth,
    SandboxJob,
    SandboxName,
    SandboxRun,
)
from executor_mcp.sandbox.burst.sandbox import BurstSandbox
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.languages.registry import BUILT_IN, Languages
from executor_mcp.sandbox.settings import BurstSettings
from hitl_contract.action_code import Profile

AGENT = "tests"
SETTINGS = BurstSettings(
    enabled=True,
    agents=frozenset({AGENT, "another"}),
    profiles=frozenset(profile.value for profile in Profile),
    most_at_a_time=32,
)


def make_burst(
    instance: str, settings: BurstSettings = SETTINGS, languages: Languages = BUILT_IN
) -> BurstSandbox:
    engine = DockerEngine()
    cold = DockerSandbox(engine, instance=instance, languages=languages)
    return BurstSandbox(engine, cold, cold, settings)


class OfOneAgent:
    """Implements `Sandbox`: every job is of one agent, and none may be run anywhere but in the tier."""

    name: SandboxName = "docker"

    def __init__(self, sandbox: BurstSandbox, agent: str = AGENT) -> None:
        self.sandbox = sandbox
        self._agent = agent
        self._description: SandboxDescription | None = None

    async def check(self) -> SandboxHealth:
        return await self.sandbox.check()

    async def describe(self) -> SandboxDescription:
        return await self.sandbox.describe()

    async def prepare(self, job: SandboxJob) -> PreparedRun:
        prepared = await self.sandbox.prepare(replace(job, principal=self._agent))
        assert prepared.backend == "burst", self.sandbox.report()
        return prepared

    async def start(self, prepared: PreparedRun, sink: OutputSink) -> SandboxRun:
        return await self.sandbox.start(prepared, sink)

    async def discard(self, prepared: PreparedRun) -> None:
        await self.sandbox.discard(prepared)

    async def remove_leftovers(self) -> int:
        return await self.sandbox.remove_leftovers()

    async def close(self) -> None:
        await self.sandbox.close()
