"""Takes what waits in the database whenever this executor has a place, and ends what will never begin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from executor_mcp.admission import AdmittedCall
from executor_mcp.capacity import Capacity, NoCapacity
from executor_mcp.end_record import EndRecord
from executor_mcp.errors import RETRYABLE, RefusalReason, Refused
from executor_mcp.gate import Gate
from executor_mcp.live_output import LiveExecutions
from executor_mcp.models import ExecutionStatus
from executor_mcp.outcomes import never_begun
from executor_mcp.refusals import RefusalLog
from executor_mcp.runner import Runner
from executor_mcp.start_record import NoLongerOurs, SharedBounds
from executor_mcp.steps import Step, StepObserver
from executor_mcp.storage.executions import ExecutionStore
from executor_mcp.storage.waiting import WAITING_CHANGED, WaitingStore, WaitingWork
from server_kit.clock import Clock
from server_kit.errors import ServerError

_LOOK_SECONDS: Final = 5.0
# What is cancelled meanwhile is to be ended within a second.
_PATIENCE_SECONDS: Final = 0.5
_TROUBLE_SECONDS: Final = 1.0
_MAX_SKIPPED: Final = 1000
_NOT_FOR_THIS_ONE: Final = frozenset(
    {RefusalReason.NOT_ALLOWED_HERE, RefusalReason.PACKAGE_NOT_ALLOWED, RefusalReason.UNSAFE_CODE}
)


class WaitingWorker:
    """One per executor process. Of all the processes on a database exactly one begins each execution.

    1. It takes a place first and claims then: what is claimed is never kept waiting for a place.
    2. A claim that leads to nothing is given back, by its process or, when that died, by another.
    3. What this executor's policy refuses is left to the others, until it lapses.
    4. What the token does not stand behind, was revoked, cancelled or has lapsed is ended without a run.
    """

    def __init__(
        self,
        *,
        owner: str,
        gate: Gate,
        runner: Runner,
        live: LiveExecutions,
        capacity: Capacity,
        waiting: WaitingStore,
        executions: ExecutionStore,
        end_record: EndRecord,
        refusals: RefusalLog,
        bounds: SharedBounds,
        clock: Clock,
        steps: StepObserver,
        start: Callable[[Coroutine[Any, Any, Any]], object],
    ) -> None:
        self._owner = owner
        self._gate = gate
        self._runner = runner
        self._live = live
        self._capacity = capacity
        self._waiting = waiting
        self._executions = executions
        self._end_record = end_record
        self._refusals = refusals
        self._bounds = bounds
        self._clock = clock
        self._steps = steps
        self._start = start
        self._skipped: dict[str, None] = {}
        self._strayed: set[str] = set()
        self._not_before = 0.0
        self._log = structlog.get_logger("executor.waiting")

    async def run(self) -> None:
        """Work until cancelled. Without a queue there is nothing to do."""
        if self._bounds.most_waiting is None:
            return
        async with self._executions.changes.watch(WAITING_CHANGED, unhurried=True) as watch:
            while True:
                try:
                    took = await self._take_one()
                except ServerError as error:
                    self._log.warning("waiting_not_worked", problem=str(error))
                    took = False
                if not took:
                    await watch.wait(self._pause())

    async def give_back_all(self) -> None:
        """At the end of this process: what it has claimed and not begun is anybody's again."""
        try:
            await self._waiting.give_back_of([self._owner])
        except ServerError as error:
            self._log.warning("claims_not_given_back", problem=str(error))

    async def end_what_will_not_begin(self) -> None:
        """What is to be cancelled, and what has waited too long."""
        for execution_id, cancelled in await self._waiting.not_to_begin(self._clock.now()):
            if cancelled:
                await self.end_waiting(execution_id, ExecutionStatus.CANCELLED, "it was cancelled")
            else:
                longest = f"{self._bounds.longest_wait_seconds:g} s"
                detail = f"no executor had a place for it, or would run it, within {longest}"
                await self.end_waiting(execution_id, ExecutionStatus.FAILED, detail)

    async def end_waiting(self, execution_id: str, status: ExecutionStatus, why: str) -> bool:
        """End it without a run; False when it has begun or ended already."""
        execution = await self._executions.get(execution_id)
        if execution is None or execution.status.is_final:
            return False
        return await self._end_record.write_never_begun(execution, never_begun(status, why), self._waiting)

    def _pause(self) -> float:
        wait = self._not_before - asyncio.get_running_loop().time()
        if wait > 0:
            return max(wait, _TROUBLE_SECONDS)
        # A place that came free in another executor is not announced; the bound of all is looked at again.
        return _LOOK_SECONDS if self._bounds.at_a_time is None else _TROUBLE_SECONDS

    async def _take_one(self) -> bool:
        """Whether it is worth to look again at once."""
        for execution_id in tuple(self._strayed):
            await self._waiting.give_back(execution_id, self._owner)
            self._strayed.discard(execution_id)
        await self.end_what_will_not_begin()
        if asyncio.get_running_loop().time() < self._not_before:
            return False
        if not await self._waiting.anything_for(self._skipped):
            return False
        try:
            await self._capacity.take(_PATIENCE_SECONDS)
        except NoCapacity:
            return True
        try:
            work = await self._waiting.claim(self._owner, self._skipped, at_a_time=self._bounds.at_a_time)
        except BaseException:
            self._capacity.give_back()
            raise
        if work is None:
            self._capacity.give_back()
            return False
        self._start(self._begin_and_run(work))
        return True

    async def _begin_and_run(self, work: WaitingWork) -> None:
        self._live.expect(work.execution_id)
        try:
            call = await self._begin(work)
            if call is None:
                self._capacity.give_back()
            else:
                await self._runner.run(call)
        finally:
            self._live.expect_no_longer(work.execution_id)

    async def _begin(self, work: WaitingWork) -> AdmittedCall | None:
        try:
            await self._steps.reached(Step.CLAIMED)
            return await self._gate.admit_waiting(work)
        except NoLongerOurs:
            self._log.info("waiting_taken_over", execution_id=work.execution_id)
        except Refused as refusal:
            await self._refused(work, refusal)
        except BaseException as error:
            self._log.exception("waiting_not_begun", execution_id=work.execution_id)
            await self._give_back(work)
            if not isinstance(error, Exception):
                raise
        return None

    async def _refused(self, work: WaitingWork, refusal: Refused) -> None:
        if refusal.reason in RETRYABLE:
            # The engine, the issuer or the database is away: others may reach them.
            self._not_before = asyncio.get_running_loop().time() + (
                refusal.retry_after_seconds or _TROUBLE_SECONDS
            )
            await self._give_back(work)
        elif refusal.reason in _NOT_FOR_THIS_ONE:
            self._skipped[work.execution_id] = None
            while len(self._skipped) > _MAX_SKIPPED:
                self._skipped.pop(next(iter(self._skipped)))
            await self._give_back(work)
        else:
            await self._refusals.record(refusal, None)
            await self._end_quietly(work, refusal)

    async def _end_quietly(self, work: WaitingWork, refusal: Refused) -> None:
        try:
            await self.end_waiting(work.execution_id, ExecutionStatus.FAILED, str(refusal))
        except ServerError as error:
            self._log.warning("waiting_not_ended", execution_id=work.execution_id, problem=str(error))
            await self._give_back(work)

    async def _give_back(self, work: WaitingWork) -> None:
        try:
            await self._waiting.give_back(work.execution_id, self._owner)
        except ServerError as error:
            self._strayed.add(work.execution_id)
            self._log.warning("claim_not_given_back", execution_id=work.execution_id, problem=str(error))
