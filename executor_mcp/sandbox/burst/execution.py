"""One execution in a burst container, as the run that drives it sees it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

from executor_mcp.sandbox.control_groups import ControlGroup
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.frames import Frame, FrameError, FrameKind
from executor_mcp.sandbox.pool.container import WarmContainer
from executor_mcp.sandbox.process_handle import ProcessHandle
from executor_mcp.sandbox.run import Aftermath

_DEATH_SECONDS = 5.0


class BurstExecution(WarmContainer):
    """Implements `run.Channel`: a warm container's frames and pipes over one process namespace of several.

    1. `kill` ends the namespace's process 1; when the kernel does not do so in time, the outer container is
       condemned, which ends all of it.
    2. What it used and whether it ran out of memory is told by its control group, never by itself.
    3. `oddity` says what a sound execution never does: break the rules of the frames, fail, or end unasked.
    """

    def __init__(
        self,
        engine: DockerEngine,
        container_id: str,
        *,
        connection: socket.socket,
        process: ProcessHandle,
        group: ControlGroup,
        condemn: Callable[[str], None],
    ) -> None:
        super().__init__(
            engine, container_id, connection=connection, process=process, directory=Path(), holder=None
        )
        self.group = group
        self.own_process = process
        self.condemn = condemn
        self._broke: str | None = None
        self._out_of_memory = False

    @property
    def oddity(self) -> str | None:
        """To be asked when it has ended."""
        if self._broke is not None:
            return self._broke
        if self._reported or self._killed or self._out_of_memory or not self._pipes:
            return None
        return "an execution ended without a report"

    async def kill(self) -> None:
        if self._reported:
            return
        # By its socket: that ends a little earlier than the process, which may be going by itself.
        self._killed = self._killed or not self._ended
        with contextlib.suppress(PermissionError):
            self.own_process.kill()
        self._control.close()
        if not await self.own_process.wait(_DEATH_SECONDS):  # 1
            self._broke = "an execution could not be ended"
            self.condemn(self._broke)
            await self.own_process.wait(_DEATH_SECONDS)
        self._end()

    async def remove(self) -> Aftermath:
        facts = self.group.facts()  # 2
        self._out_of_memory = facts.out_of_memory
        self._on_release()
        return Aftermath(
            out_of_memory=facts.out_of_memory,
            peak_memory_bytes=facts.peak_memory_bytes,
            cpu_seconds=facts.cpu_seconds,
            detail=self.oddity,
        )

    def _taken(self, frame: Frame) -> None:
        if frame.kind is FrameKind.FAILED:
            self._broke = "an execution's supervisor failed"  # 3
        super()._taken(frame)

    def _control_ended(self, error: FrameError | None) -> None:
        if error is not None:
            self._broke = f"an execution's supervisor sent {error}"
        super()._control_ended(error)
