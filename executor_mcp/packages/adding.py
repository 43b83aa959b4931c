"""Adds the packages of an admitted call, as its execution: all of them, or none.

What is done was planned before the token was spent. It shows itself as a sandbox does, so that an addition is
run, cancelled, recorded and recovered like a program.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import structlog
from pydantic import JsonValue

from executor_mcp.packages.errors import PackageError
from executor_mcp.packages.installing import Installer, lock_file
from executor_mcp.packages.layers import seal
from executor_mcp.packages.locked import Approval, Distribution, LockedPackage
from executor_mcp.packages.noting import AuditNote
from executor_mcp.packages.planning import Plan, PlannedPackage, for_agents
from executor_mcp.packages.requirements import parse_requirement
from executor_mcp.packages.room import within_room
from executor_mcp.packages.shelf import Shelf, staging
from executor_mcp.packages.to_the_end import to_its_end
from executor_mcp.sandbox.base import OutputSink, ResourceUsage, SandboxOutcome, Termination
from executor_mcp.sandbox.errors import SandboxFailed, SandboxUnavailable
from server_kit.clock import Clock
from server_kit.errors import ServerError

PLACE: Final = "packages"
_MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class AdditionJob:
    """What is to be added, and on whose word."""

    execution_id: str
    plan: Plan
    approval: Approval


@dataclass(frozen=True, slots=True)
class PreparedAddition:
    """Implements `PreparedRun`: nothing has been fetched."""

    job: AdditionJob
    image_digest: str | None = None
    backend: Literal["packages"] = PLACE

    @property
    def execution_id(self) -> str:
        return self.job.execution_id


@dataclass(frozen=True, slots=True)
class _Sealed:
    staged: Path
    package: LockedPackage


class PackageAdder:
    """Changes the shelf on an approval. Its methods are those of a sandbox."""

    def __init__(
        self, *, shelf: Shelf, installer: Installer, note: AuditNote, clock: Clock, disk_mb: int
    ) -> None:
        self._shelf = shelf
        self._installer = installer
        self._note = note
        self._clock = clock
        self._disk_mb = disk_mb
        self._runs: set[AdditionRun] = set()

    async def prepare(self, job: AdditionJob) -> PreparedAddition:
        """Raises SandboxUnavailable when there is no room; nothing else can be told before it is done."""
        try:
            await asyncio.to_thread(self._shelf.directory.mkdir, parents=True, exist_ok=True, mode=0o700)
            free = (await asyncio.to_thread(shutil.disk_usage, self._shelf.directory)).free
        except OSError as error:
            raise SandboxUnavailable(f"the packages' directory cannot be used: {error.strerror}") from error
        if free < self._disk_mb * _MEBIBYTE:
            raise SandboxUnavailable(
                f"less than {self._disk_mb} MiB (packages.additions.disk_mb) are free for packages"
            )
        return PreparedAddition(job)

    async def start(self, prepared: PreparedAddition, sink: OutputSink) -> AdditionRun:
        run = AdditionRun(prepared.job, self._add, sink)
        self._runs.add(run)
        run.task.add_done_callback(lambda _: self._runs.discard(run))
        return run

    async def remove_leftovers(self) -> int:
        try:
            return await asyncio.to_thread(self._shelf.remove_leftovers)
        except OSError as error:
            raise SandboxFailed(f"{self._shelf.directory} cannot be cleaned: {error.strerror}") from error

    async def close(self) -> None:
        await asyncio.gather(*(run.cancel() for run in tuple(self._runs)))

    async def _add(self, job: AdditionJob, run: AdditionRun) -> list[JsonValue]:
        """Returns what is there now.

        1. Each package is unpacked from its lock, without running anything, and has the hashes that were
           written down first.
        2. It is sealed, and its digest taken.
        3. From here on it is not stopped: either all of what was approved is there, or nothing.
        4. One durable audit entry for each package; only then it can be seen.
        """
        async with AsyncExitStack() as stack:
            sealed = [await self._unpack(job, planned, stack, run) for planned in job.plan.packages]  # 1, 2
            run.begin_to_keep()  # 3
            await self._note.added([one.package for one in sealed], job.execution_id)  # 4
            for one in sealed:
                await asyncio.to_thread(self._shelf.put, one.staged, one.package)
            return [_described(one.package) for one in sealed]

    async def _unpack(
        self, job: AdditionJob, planned: PlannedPackage, stack: AsyncExitStack, run: AdditionRun
    ) -> _Sealed:
        staged, target = await stack.enter_async_context(staging(self._shelf)), job.plan.target
        run.say(f"fetching {planned.requirement} with {len(planned.distributions) - 1} that it needs\n")
        (staged / lock_file(target.language)).write_text(planned.lock, encoding="utf-8")
        unpacking = self._installer.unpack(target, staged, own_cache=True)
        await within_room(unpacking, staged, self._disk_mb * _MEBIBYTE)
        facts = await to_its_end(asyncio.to_thread(seal, staged / "layer"))
        wanted = parse_requirement(planned.requirement, target.language)
        package = LockedPackage(
            language=target.language,
            name=wanted.name,
            version=wanted.exact_version or "",
            extras=tuple(sorted(wanted.extras)),
            interpreter=target.interpreter,
            platform=target.platform,
            distributions=planned.distributions,
            layer=facts.digest,
            size_bytes=facts.size_bytes,
            added_at=self._clock.now(),
            report=job.plan.report,
            approved=job.approval,
        )
        run.say(f"unpacked {package}: {facts.digest}\n")
        return _Sealed(staged, package)


class AdditionRun:
    """Implements `SandboxRun`."""

    def __init__(self, job: AdditionJob, add: Add, sink: OutputSink) -> None:
        self._began = time.monotonic()
        self._wall_seconds = job.plan.wall_seconds
        self._log = structlog.get_logger("executor.packages")
        self._sink = sink
        self._said = b""
        self._keeping = False
        self._cancelled = False
        self._adding = asyncio.create_task(add(job, self))
        self.task = asyncio.create_task(self._to_its_end())

    def say(self, text: str) -> None:
        """For whoever watches."""
        self._said += text.encode()
        self._sink.stdout(text.encode())

    def begin_to_keep(self) -> None:
        """From now on neither a cancel nor the time ends it. Raises CancelledError when one already has."""
        if self._cancelled:
            raise asyncio.CancelledError
        self._keeping = True

    async def wait(self) -> SandboxOutcome:
        return await asyncio.shield(self.task)

    async def cancel(self) -> None:
        self._stop()
        await self.wait()

    def _stop(self) -> None:
        if not self._keeping and not self._cancelled:
            self._cancelled = True
            self._adding.cancel()

    async def _to_its_end(self) -> SandboxOutcome:
        done, _ = await asyncio.wait({self._adding}, timeout=self._wall_seconds)
        timed_out = not done and not self._keeping
        if timed_out:
            self._stop()
        await asyncio.wait({self._adding})
        if self._adding.cancelled():
            if timed_out:
                return self._outcome("timed_out", f"it was not done within {self._wall_seconds:g} s")
            return self._outcome("cancelled", "nothing was added")
        error = self._adding.exception()
        match error:
            case None:
                result = {"added": self._adding.result()}
                return self._outcome("exited", None, result=json.dumps(result).encode())
            case PackageError():
                self._log.warning("addition_failed", problem=str(error))
                return self._outcome("exited", f"nothing was added: {for_agents(error)}", exit_code=1)
            case ServerError():
                why = f"nothing was added, because it could not be recorded ({type(error).__name__})"
                return self._outcome("sandbox_failed", why)
            case OSError():
                return self._outcome("sandbox_failed", f"files could not be written: {error.strerror}")
            case _:
                self._log.error("addition_broke", exc_info=error)
                return self._outcome(
                    "sandbox_failed", f"it failed inside ({type(error).__name__}); see the log"
                )

    def _outcome(
        self,
        termination: Termination,
        detail: str | None,
        *,
        exit_code: int | None = None,
        result: bytes | None = None,
    ) -> SandboxOutcome:
        return SandboxOutcome(
            termination=termination,
            exit_code=0 if result is not None else exit_code,
            stdout=self._said,
            stderr=b"",
            truncated=False,
            result_json=result,
            files=(),
            files_truncated=False,
            usage=ResourceUsage(time.monotonic() - self._began, None, None, len(self._said)),
            detail=detail,
        )


Add = Callable[[AdditionJob, AdditionRun], Coroutine[Any, Any, list[JsonValue]]]


def _described(package: LockedPackage) -> JsonValue:
    return {
        "package": str(package),
        "language": package.language.value,
        "layer": package.layer,
        "size_bytes": package.size_bytes,
        package.language.value: package.interpreter,
        "platform": package.platform,
        "contents": [_content(one) for one in package.distributions],
        "vulnerabilities_checked_with": package.report.source,
    }


def _content(one: Distribution) -> JsonValue:
    named: dict[str, JsonValue] = {"name": one.name, "version": one.version}
    if one.ecosystem == "npm":
        return {**named, "integrity": one.hashes[0]}
    return {**named, "sha256": [*one.hashes]}
