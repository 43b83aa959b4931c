"""A sandbox in which programs that were approved for names reach them, through a door of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from executor_mcp.network.door import PROXY_PROGRAM, EgressDoor, remove_left_doors
from executor_mcp.sandbox.base import (
    EgressDoorway,
    OutputSink,
    PreparedRun,
    Sandbox,
    SandboxDescription,
    SandboxHealth,
    SandboxJob,
    SandboxName,
    SandboxOutcome,
    SandboxRun,
)
from executor_mcp.sandbox.errors import SandboxRefused
from hitl_contract.action_code import NetworkMode


@dataclass(frozen=True)
class NetworkRules:
    """Ports that may be reached; `certificates` (PEM): authorities that programs are given to trust."""

    ports: tuple[int, ...] = (80, 443)
    certificates: str = ""
    proxy_program: Sequence[str] = PROXY_PROGRAM


class NetworkedSandbox:
    """Implements `Sandbox` around another one, which is asked for everything else."""

    def __init__(self, inner: Sandbox, rules: NetworkRules) -> None:
        self.inner = inner
        self._rules = rules
        self._doors: dict[str, EgressDoor] = {}

    @property
    def name(self) -> SandboxName:
        return self.inner.name

    async def check(self) -> SandboxHealth:
        return await self.inner.check()

    async def describe(self) -> SandboxDescription:
        return await self.inner.describe()

    async def prepare(self, job: SandboxJob) -> PreparedRun:
        if job.network_mode is NetworkMode.NONE:
            return await self.inner.prepare(job)
        if self.name == "gvisor":
            raise SandboxRefused(
                "gvisor lets no socket of the host in, so it has no network; ask for mode 'none'"
            )
        door = await EgressDoor.open(
            job.domains,
            self._rules.ports,
            cpu_seconds=job.limits.wall_seconds,
            program=self._rules.proxy_program,
        )
        prepared: PreparedRun | None = None
        try:
            doorway = EgressDoorway(door.directory, self._rules.certificates)
            prepared = await self.inner.prepare(replace(job, egress=doorway))
            await door.ready()
        except BaseException:
            await door.close()
            if prepared is not None:
                await self.inner.discard(prepared)
            raise
        self._doors[job.execution_id] = door
        return prepared

    async def start(self, prepared: PreparedRun, sink: OutputSink) -> SandboxRun:
        run = await self.inner.start(prepared, sink)
        door = self._doors.pop(prepared.execution_id, None)
        return run if door is None else _NetworkedRun(run, door)

    async def discard(self, prepared: PreparedRun) -> None:
        await self.inner.discard(prepared)
        door = self._doors.pop(prepared.execution_id, None)
        if door is not None:
            await door.close()

    async def remove_leftovers(self) -> int:
        await asyncio.to_thread(remove_left_doors)
        return await self.inner.remove_leftovers()

    async def close(self) -> None:
        await self.inner.close()
        doors = tuple(self._doors.values())
        self._doors.clear()
        await asyncio.gather(*(door.close() for door in doors))


class _NetworkedRun:
    """Implements `SandboxRun`. The door is closed when the program has ended, whoever waits."""

    def __init__(self, run: SandboxRun, door: EgressDoor) -> None:
        self._run = run
        self._ended = asyncio.create_task(self._end(door))

    async def wait(self) -> SandboxOutcome:
        return await asyncio.shield(self._ended)

    async def cancel(self) -> None:
        await self._run.cancel()
        await self.wait()

    async def _end(self, door: EgressDoor) -> SandboxOutcome:
        try:
            outcome = await self._run.wait()
        finally:
            connections = await door.close()
        return replace(outcome, connections=connections)
