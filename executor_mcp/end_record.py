"""The one transaction that ends an execution: its outcome, its receipt and the audit entry."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.models import Execution, ExecutionStatus, Outcome
from executor_mcp.receipts import ReceiptSigner, output_digest
from executor_mcp.steps import Step, StepObserver
from executor_mcp.storage.executions import ExecutionStore
from executor_mcp.storage.running_state import RunningState
from executor_mcp.storage.waiting import WaitingStore
from server_kit.audit_log import AuditLog
from server_kit.clock import Clock
from server_kit.database.base import Database
from server_kit.errors import ServerError

_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 5.0
_NAMED_HOSTS = 64


class _WaitsNoLonger(Exception):
    """It has begun or ended since somebody looked."""


class EndRecord:
    """Writes ends.

    Of two ends of one execution the first is kept and the second is only noted in the audit log.
    """

    def __init__(
        self,
        *,
        database: Database,
        audit: AuditLog,
        executions: ExecutionStore,
        signer: ReceiptSigner,
        clock: Clock,
        steps: StepObserver,
        running: RunningState,
    ) -> None:
        self._running = running
        self._database = database
        self._audit = audit
        self._executions = executions
        self._signer = signer
        self._clock = clock
        self._steps = steps
        self._log = structlog.get_logger("executor.runner")

    async def write_never_begun(self, execution: Execution, outcome: Outcome, waiting: WaitingStore) -> bool:
        """End what waits; False, with nothing written, when it no longer waits.

        Raises:
            ServerError: it could not be recorded now.
        """
        try:
            await self.write(execution, outcome, started_at=None, waiting=waiting)
        except _WaitsNoLonger:
            return False
        return True

    async def write(
        self,
        execution: Execution,
        outcome: Outcome,
        contents: Sequence[bytes] = (),
        *,
        started_at: datetime | None,
        was_kept: bool = False,
        waiting: WaitingStore | None = None,
    ) -> Execution:
        """The ended execution. `was_kept`: output was put down while it ran, and goes now. `waiting` is for
        one that has not begun.

        Raises:
            ServerError: it could not be recorded now.
        """
        finished_at = self._clock.now()
        receipt = self._signer.sign(execution, outcome, finished_at=int(finished_at.timestamp()))
        await self._steps.reached(Step.RECEIPT_SIGNED)

        async def write(connection: AsyncConnection) -> bool:
            if waiting is not None and not await waiting.leave_to_end(connection, execution.execution_id):
                raise _WaitsNoLonger
            kept = await self._executions.finish(
                connection,
                execution.execution_id,
                outcome,
                contents,
                receipt=receipt,
                started_at=started_at,
                finished_at=finished_at,
            )
            if was_kept:
                await self._running.forget(connection, execution.execution_id)
            interrupted = outcome.status is ExecutionStatus.INTERRUPTED
            event = "execution.interrupted" if interrupted else "execution.finished"
            await self._audit.append(
                connection,
                event if kept else "execution.late_end_discarded",
                actor="executor",
                subject=execution.execution_id,
                details={
                    "token_id": execution.token_id,
                    "status": outcome.status.value,
                    "ended_by": outcome.ended_by,
                    "exit_code": outcome.exit_code,
                    "output_digest": output_digest(outcome),
                    **_connections(outcome),
                },
            )
            await self._steps.reached(Step.OUTCOME_NOT_COMMITTED)
            return kept

        kept = await self._database.write(write)
        await self._steps.reached(Step.OUTCOME_RECORDED)
        if not kept:
            self._log.warning("late_end_discarded", execution_id=execution.execution_id)
            return await self._executions.get(execution.execution_id) or execution
        return replace(
            execution,
            status=outcome.status,
            # In the order in which the store reads them.
            outcome=replace(outcome, files=tuple(sorted(outcome.files, key=lambda file: file.path))),
            receipt=receipt,
            started_at=started_at,
            finished_at=finished_at,
        )

    async def write_until_recorded(
        self,
        execution: Execution,
        outcome: Outcome,
        contents: Sequence[bytes] = (),
        *,
        started_at: datetime | None,
        was_kept: bool = False,
    ) -> Execution:
        """Like `write`, again and again while the database is away: a program that ran must not go
        unrecorded.
        """
        delay = _FIRST_RETRY_SECONDS
        while True:
            try:
                return await self.write(
                    execution, outcome, contents, started_at=started_at, was_kept=was_kept
                )
            except ServerError as error:
                self._log.warning(
                    "end_not_recorded_yet", execution_id=execution.execution_id, problem=str(error)
                )
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LONGEST_RETRY_SECONDS)


def _connections(outcome: Outcome) -> dict[str, JsonValue]:
    """Whom the program asked to reach, and how often it was let and not let."""
    if not outcome.connections:
        return {}
    allowed = sum(one.verdict == "allowed" for one in outcome.connections)
    hosts: list[JsonValue] = [
        *sorted({f"{one.host}:{one.port} {one.verdict}" for one in outcome.connections})
    ]
    counts: dict[str, JsonValue] = {"allowed": allowed, "refused": len(outcome.connections) - allowed}
    return {"connections": {**counts, "hosts": hosts[:_NAMED_HOSTS]}}
