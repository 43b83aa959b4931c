"""Marks what dead processes left unfinished as `interrupted`. Nothing that began is ever run again.

What they had claimed and not begun goes back to those that wait.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import structlog

from executor_mcp.end_record import EndRecord
from executor_mcp.live_output import LiveExecutions
from executor_mcp.measurements import Measurements
from executor_mcp.models import ExecutionStatus
from executor_mcp.outcomes import empty_outcome
from executor_mcp.packages.adding import PLACE
from executor_mcp.storage.executions import ExecutionStore
from executor_mcp.storage.processes import ProcessLock, ProcessRegistry, is_known_alive, remove_lock_file
from executor_mcp.storage.running_state import RunningState
from executor_mcp.storage.waiting import WaitingStore
from server_kit.clock import Clock
from server_kit.errors import HomeNotWritable, ServerError

_A_PROGRAM = (
    "the executor died after the token was spent; the program may have run in part or to its end, and is not "
    "run again; what it wrote is kept up to about a second before, its last checkpoint up to about "
    "three"
)
_AN_ADDITION = (
    "the executor died after the token was spent; the packages may be there or not, which list_languages "
    "says, and are not added again"
)
_ADMISSION_GRACE = timedelta(seconds=60)


class Recovery:
    """Keeps this process's own sign of life, and looks after those that no longer give one.

    A process that shares this home is dead when it no longer holds its lock file, any other when its lease
    has run out. An execution that belongs to this process and that it does not know (its admission was
    committed while the answer of the database got lost) is interrupted as well.
    """

    def __init__(
        self,
        *,
        owner: str,
        registry: ProcessRegistry,
        executions: ExecutionStore,
        running: RunningState,
        waiting: WaitingStore,
        end_record: EndRecord,
        live: LiveExecutions,
        measurements: Measurements,
        clock: Clock,
        lock_directory: Path,
        interval_seconds: float,
    ) -> None:
        self._owner = owner
        self._registry = registry
        self._executions = executions
        self._running = running
        self._waiting = waiting
        self._end_record = end_record
        self._live = live
        self._measurements = measurements
        self._clock = clock
        self._locks = lock_directory
        self._interval = interval_seconds
        self._lock = ProcessLock(lock_directory, owner)
        self._log = structlog.get_logger("executor.recovery")

    @property
    def owner(self) -> str:
        """The id by which other processes know this one; its lock file bears it."""
        return self._owner

    async def begin(self) -> int:
        """Announce this process and recover once; the number of executions marked.

        Before any call is admitted.
        """
        try:
            self._lock.acquire()
        except OSError as error:
            raise HomeNotWritable(
                f"cannot write in {self._locks}: {error.strerror}; make it writable or set EXECUTOR_HOME"
            ) from error
        await self._registry.renew(self._owner)
        return await self.recover()

    async def run(self) -> None:
        """Renew the lease and recover, until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._registry.renew(self._owner)
                await self.recover()
            except ServerError as error:
                self._log.warning("recovery_postponed", problem=str(error))

    async def end(self) -> None:
        """Withdraw the sign of life; what is unfinished is then anybody's to mark."""
        try:
            await self._registry.forget(self._owner)
        except ServerError as error:
            self._log.warning("process_not_forgotten", problem=str(error))
        self._lock.release()

    async def recover(self) -> int:
        dead: list[str] = []
        for owner, lease_is_over in await self._registry.suspects():
            alive = is_known_alive(self._locks, owner)
            if owner != self._owner and (alive is False or (alive is None and lease_is_over)):
                dead.append(owner)
        marked = 0
        for execution_id in await self._registry.unfinished_of(dead) if dead else ():
            marked += await self._interrupt(execution_id)
        if dead:
            # What they were preparing has not begun: it is not lost, and another process may begin it.
            await self._waiting.give_back_of(dead)
        for owner in dead:
            await self._registry.forget(owner)
            remove_lock_file(self._locks, owner)
        return marked + await self._recover_own()

    async def _recover_own(self) -> int:
        marked = 0
        for execution_id in await self._registry.unfinished_of([self._owner]):
            execution = await self._executions.get(execution_id)
            if execution_id in self._live or execution is None or execution.status.is_final:
                continue
            if self._clock.now() - execution.created_at > _ADMISSION_GRACE:
                marked += await self._interrupt(execution_id)
        return marked

    async def _interrupt(self, execution_id: str) -> int:
        execution = await self._executions.get(execution_id)
        if execution is None or execution.status.is_final:
            return 0
        remains = await self._running.remains(execution_id)
        outcome = empty_outcome(
            ExecutionStatus.INTERRUPTED,
            ended_by="executor_died",
            detail=_AN_ADDITION if execution.sandbox.backend == PLACE else _A_PROGRAM,
            remains=remains,
        )
        contents = () if remains.checkpoint is None else (remains.checkpoint,)
        ended = await self._end_record.write(
            execution, outcome, contents, started_at=execution.started_at, was_kept=True
        )
        self._log.warning("interrupted", execution_id=execution_id, owner=execution.owner)
        if ended.status is ExecutionStatus.INTERRUPTED:
            self._measurements.recorded(ended)
        return int(ended.status is ExecutionStatus.INTERRUPTED)
