"""Runs an admitted call to its recorded end, whatever happens on the way."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.admission import AdmittedCall
from executor_mcp.capacity import Capacity
from executor_mcp.end_record import EndRecord
from executor_mcp.later import Later
from executor_mcp.live_output import LiveExecution, LiveExecutions
from executor_mcp.measurements import Measurements
from executor_mcp.models import Execution, ExecutionStatus, Outcome
from executor_mcp.outcomes import empty_outcome, outcome_of, with_last_checkpoint
from executor_mcp.output_keeper import OutputKeeper
from executor_mcp.sandbox.base import PreparedRun, SandboxOutcome, SandboxRun
from executor_mcp.sandbox.errors import SandboxError
from executor_mcp.steps import Step, StepObserver
from executor_mcp.storage.executions import ExecutionStore
from executor_mcp.tracing import Tracing
from executor_mcp.workplace import Workplace
from server_kit.clock import Clock
from server_kit.database.base import Database
from server_kit.errors import ServerError

_CANCEL_CHECK_SECONDS = 30.0
_USUAL_START_SECONDS = 0.1
LASTING_SECONDS = 0.05
"""A program that is over by then goes from `pending` to its end: it is spent and audited all the same."""


class Runner:
    """Owns an execution from admission to its end. A caller that goes away changes nothing here."""

    def __init__(
        self,
        *,
        workplace: Workplace,
        database: Database,
        executions: ExecutionStore,
        end_record: EndRecord,
        live: LiveExecutions,
        capacity: Capacity,
        clock: Clock,
        steps: StepObserver,
        measurements: Measurements,
        keeper: OutputKeeper,
        tracing: Tracing,
    ) -> None:
        self._workplace = workplace
        self._database = database
        self._executions = executions
        self._end_record = end_record
        self._live = live
        self._capacity = capacity
        self._clock = clock
        self._steps = steps
        self._measurements = measurements
        self._keeper = keeper
        self._tracing = tracing
        self._log = structlog.get_logger("executor.runner")

    async def run(self, call: AdmittedCall) -> Execution:
        """Start the program, wait for it and record how it ended. Returns the ended execution."""
        with self._tracing.run(call.execution) as span:
            ended = await self._run(call)
            span.ended(ended)
            return ended

    async def _run(self, call: AdmittedCall) -> Execution:
        execution = call.execution
        live = self._live.open(execution.execution_id)
        self._measurements.began()
        ended: Execution | None = None
        try:
            _, prepared = call.take()
            await self._steps.reached(Step.RUN_BEGUN)
            started_at = self._clock.now()
            keeping = self._keeper.begin(execution.execution_id, live)
            try:
                outcome, contents = await self._run_program(
                    execution.execution_id, prepared, live, started_at
                )
            finally:
                await keeping.stop()
            await self._steps.reached(Step.PROGRAM_ENDED)
            ended = await self._record_end(
                execution, outcome, contents, started_at, was_kept=keeping.has_begun
            )
            return ended
        finally:
            self._measurements.ended(ended or execution)
            self._live.close(execution.execution_id, ended)
            self._capacity.give_back()

    async def _record_end(
        self,
        execution: Execution,
        outcome: Outcome,
        contents: tuple[bytes, ...],
        started_at: datetime,
        *,
        was_kept: bool,
    ) -> Execution:
        write = self._end_record.write_until_recorded
        try:
            return await write(execution, outcome, contents, started_at=started_at, was_kept=was_kept)
        except Exception:
            # Output that no database takes must not hide that the program ran.
            self._log.exception("outcome_not_storable", execution_id=execution.execution_id)
            lost = empty_outcome(
                outcome.status, ended_by=outcome.ended_by, detail="the output could not be stored"
            )
            return await write(execution, lost, started_at=started_at, was_kept=was_kept)

    async def _run_program(
        self, execution_id: str, prepared: PreparedRun, live: LiveExecution, started_at: datetime
    ) -> tuple[Outcome, tuple[bytes, ...]]:
        lasting = Later(LASTING_SECONDS, lambda: self._attend(execution_id, live, started_at))
        run: SandboxRun | None = None
        try:
            run = await self._start(prepared, live)
            if run is None:
                return _stopped_before_it_began(shutting_down=live.shutting_down), ()
            await self._steps.reached(Step.PROGRAM_STARTED)
            ended = await self._wait(run, live)
        except SandboxError as error:
            await self._discard(run, prepared)
            return _failed(f"the sandbox failed: {error}"), ()
        except Exception as error:
            # Whatever broke, the token is spent: there has to be an execution to read.
            self._log.exception("run_broke", execution_id=execution_id)
            await self._discard(run, prepared)
            return _failed(f"the executor failed inside ({type(error).__name__}); see its log"), ()
        finally:
            await lasting.stop()
        ended = with_last_checkpoint(ended, live.last_checkpoint)
        outcome = outcome_of(ended, shutting_down=live.shutting_down)
        return outcome, tuple(file.content for file in ended.files)

    async def _start(self, prepared: PreparedRun, live: LiveExecution) -> SandboxRun | None:
        """None when it was told to stop first; then nothing of the sandbox is left."""
        starting = asyncio.create_task(self._workplace.start(prepared, live))
        if not live.stop.is_set():
            await asyncio.wait({starting}, timeout=_USUAL_START_SECONDS)
        if not starting.done():
            stopped = asyncio.create_task(live.stop.wait())
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
        if starting.done():
            return starting.result()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        if not starting.cancelled():
            return starting.result()
        await self._workplace.discard(prepared)
        return None

    async def _wait(self, run: SandboxRun, live: LiveExecution) -> SandboxOutcome:
        stopper = asyncio.create_task(self._stop_when_asked(run, live))
        try:
            return await run.wait()
        finally:
            stopper.cancel()

    async def _stop_when_asked(self, run: SandboxRun, live: LiveExecution) -> None:
        await live.stop.wait()
        try:
            await run.cancel()
        except SandboxError as error:
            self._log.warning("cancel_failed", problem=str(error))

    async def _attend(self, execution_id: str, live: LiveExecution, started_at: datetime) -> None:
        """What a program that lasts is owed: others see it run, and can stop it."""
        await self._record_running(execution_id, started_at)
        await self._hear_other_processes(execution_id, live)

    async def _hear_other_processes(self, execution_id: str, live: LiveExecution) -> None:
        """Sets the local switch when another process has left word to stop this execution."""
        async with self._database.changes.watch(self._executions.change_key(execution_id)) as watch:
            while True:
                with suppress(ServerError):
                    if await self._executions.is_cancel_requested(execution_id):
                        live.stop.set()
                        return
                await watch.wait(_CANCEL_CHECK_SECONDS)

    async def _record_running(self, execution_id: str, started_at: datetime) -> None:
        async def write(connection: AsyncConnection) -> None:
            await self._executions.mark_running(connection, execution_id, at=started_at)

        try:
            await self._database.write(write)
        except ServerError as error:
            self._log.warning("running_not_recorded", execution_id=execution_id, problem=str(error))
        else:
            await self._steps.reached(Step.RUNNING_RECORDED)

    async def _discard(self, run: SandboxRun | None, prepared: PreparedRun) -> None:
        try:
            if run is not None:
                await run.cancel()
            await self._workplace.discard(prepared)
        except SandboxError as error:
            self._log.warning("sandbox_not_removed", problem=str(error))


def _stopped_before_it_began(*, shutting_down: bool) -> Outcome:
    return empty_outcome(
        ExecutionStatus.INTERRUPTED if shutting_down else ExecutionStatus.CANCELLED,
        ended_by="shutdown" if shutting_down else "cancelled",
        detail="it was stopped before the program began; nothing of it has run",
    )


def _failed(detail: str) -> Outcome:
    return empty_outcome(ExecutionStatus.FAILED, ended_by="sandbox_failed", detail=detail)
