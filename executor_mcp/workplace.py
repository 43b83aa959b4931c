"""Where admitted work is done: programs in the sandbox, additions of packages by this executor itself."""

from __future__ import annotations

from executor_mcp.packages.adding import AdditionJob, PackageAdder, PreparedAddition
from executor_mcp.sandbox.base import OutputSink, PreparedRun, Sandbox, SandboxJob, SandboxRun
from executor_mcp.sandbox.errors import SandboxRefused

Job = SandboxJob | AdditionJob


class Workplace:
    """What gate and runner know of a `Sandbox`, for either kind of work. Without an adder none is added."""

    def __init__(self, sandbox: Sandbox, adder: PackageAdder | None) -> None:
        self._sandbox = sandbox
        self._adder = adder

    async def prepare(self, job: Job) -> PreparedRun:
        """Begins nothing. Raises SandboxError."""
        if isinstance(job, SandboxJob):
            return await self._sandbox.prepare(job)
        if self._adder is None:
            raise SandboxRefused("this executor adds no packages")
        return await self._adder.prepare(job)

    async def start(self, prepared: PreparedRun, sink: OutputSink) -> SandboxRun:
        """Raises SandboxFailed."""
        if isinstance(prepared, PreparedAddition) and self._adder is not None:
            return await self._adder.start(prepared, sink)
        return await self._sandbox.start(prepared, sink)

    async def discard(self, prepared: PreparedRun) -> None:
        # Of an addition that was prepared nothing is there yet.
        if not isinstance(prepared, PreparedAddition):
            await self._sandbox.discard(prepared)

    async def remove_leftovers(self) -> None:
        """What dead processes of this executor left behind. Raises SandboxError."""
        await self._sandbox.remove_leftovers()
        if self._adder is not None:
            await self._adder.remove_leftovers()

    async def close(self) -> None:
        """Ends all of it."""
        if self._adder is not None:
            await self._adder.close()
        await self._sandbox.close()
