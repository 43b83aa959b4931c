"""The sandbox for a Linux host where no engine answers: bubblewrap over the host's own interpreters."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from pathlib import Path

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
from executor_mcp.sandbox.bubblewrap_command import TOOL_PATH, TOOLS
from executor_mcp.sandbox.bubblewrap_process import BubblewrapProcess
from executor_mcp.sandbox.control_groups import ControlGroup, ControlGroups
from executor_mcp.sandbox.errors import SandboxError, SandboxUnavailable
from executor_mcp.sandbox.host_directories import host_directories
from executor_mcp.sandbox.job_message import BoundsInside
from executor_mcp.sandbox.languages.registry import BUILT_IN, Languages
from executor_mcp.sandbox.owner import Owner
from executor_mcp.sandbox.probe import probe_languages
from executor_mcp.sandbox.refusals import refuse_what_is_not_offered
from executor_mcp.sandbox.run import Channel
from executor_mcp.sandbox.seccomp import compile_profile, load_profile
from executor_mcp.sandbox.supervised import SupervisedSandboxes
from executor_mcp.sandbox.supervisor_program import supervisor_program

_WITHOUT_GROUPS = (
    "no control group can be made here: memory is bounded per process and by a sample every 50 ms, processor "
    "time per process; memory that the kernel holds for a program (socket buffers, shared pages that it has "
    "let go of) is not bounded"
)
_PACKAGES = {"bwrap": "bubblewrap", "mount": "mount", "python3": "python3", "sh": "dash"}


class BubblewrapSandbox:
    """Implements `Sandbox`. Works as root (then as an unprivileged user per run) and as an ordinary user."""

    name: SandboxName = "bubblewrap"

    def __init__(
        self,
        *,
        seccomp_profile: Path | None = None,
        use_control_groups: bool = True,
        languages: Languages = BUILT_IN,
    ) -> None:
        self._seccomp_profile = seccomp_profile
        self._use_control_groups = use_control_groups
        self._languages = languages
        self._supervisor = supervisor_program(languages)
        self._sandboxes = SupervisedSandboxes(
            lambda: BoundsInside(memory=self._groups is None, processes_per_user=True), languages
        )
        self._groups: ControlGroups | None = None
        self._filter: bytes | None = None
        self._described: tuple[LanguageDescription, ...] | None = None
        self._setting_up = asyncio.Lock()

    async def check(self) -> SandboxHealth:
        missing = [tool for tool in TOOLS if shutil.which(tool, path=TOOL_PATH) is None]
        if missing:
            packages = " ".join(sorted({_PACKAGES.get(tool, "util-linux") for tool in missing}))
            problem = f"missing: {', '.join(missing)}"
            return SandboxHealth(ready=False, problem=problem, remedy=f"apt-get install {packages}")
        try:
            await self._describe_languages()
        except SandboxError as error:
            remedy = (
                "allow unprivileged user namespaces (sysctl user.max_user_namespaces, or "
                "kernel.unprivileged_userns_clone, or AppArmor's restriction of them), or use docker"
            )
            return SandboxHealth(ready=False, problem=str(error), remedy=remedy)
        return SandboxHealth(ready=True, warnings=() if self._groups is not None else (_WITHOUT_GROUPS,))

    async def describe(self) -> SandboxDescription:
        languages = await self._describe_languages()
        bounds = "control group" if self._groups is not None else "per process"
        return SandboxDescription(
            backend="bubblewrap",
            runtime="bwrap",
            image_digest=None,
            languages=languages,
            details={"memory_bound": bounds, "root": "the host's /usr, read-only"},
        )

    async def prepare(self, job: SandboxJob) -> PreparedRun:
        refuse_what_is_not_offered(job, image_digest=None)
        seccomp_filter = await self._set_up()

        async def launch(amounts: Amounts) -> Channel:
            group = await self._make_group(job.execution_id, amounts)
            try:
                return await BubblewrapProcess.launch(
                    amounts,
                    group,
                    seccomp_filter=seccomp_filter,
                    supervisor=self._supervisor,
                    directories=host_directories(job),
                )
            except BaseException:
                if group is not None:
                    await asyncio.to_thread(group.remove)
                raise

        return await self._sandboxes.prepare(job, launch)

    async def start(self, prepared: PreparedRun, sink: OutputSink) -> SandboxRun:
        return await self._sandboxes.start(prepared, sink)

    async def discard(self, prepared: PreparedRun) -> None:
        await self._sandboxes.discard(prepared)

    async def remove_leftovers(self) -> int:
        """Processes die with their parent; what a killed executor leaves is empty control groups."""
        await self._set_up()
        return 0 if self._groups is None else await asyncio.to_thread(self._groups.remove_leftovers)

    async def close(self) -> None:
        await self._sandboxes.close()

    async def _set_up(self) -> bytes:
        async with self._setting_up:
            if self._filter is None:
                self._filter = await asyncio.to_thread(
                    lambda: compile_profile(load_profile(self._seccomp_profile))
                )
                if self._use_control_groups:
                    self._groups = await asyncio.to_thread(ControlGroups.find, Owner.current())
            return self._filter

    async def _make_group(self, execution_id: str, amounts: Amounts) -> ControlGroup | None:
        if self._groups is None:
            return None

        name = f"{execution_id}-{secrets.token_hex(4)}"
        try:
            return await self._groups.make(name, amounts)
        except OSError as error:
            raise SandboxUnavailable(f"a control group could not be made: {error}") from error

    async def _describe_languages(self) -> tuple[LanguageDescription, ...]:
        if self._described is None:
            self._described = await probe_languages(self.prepare, self.start, self._languages)
        return self._described
