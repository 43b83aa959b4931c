"""How long what executions put out is kept: swept beside the calls, in small steps, each audited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.storage.sweeping import (
    Swept,
    remove_oldest_output,
    remove_output_before,
    remove_records_before,
    remove_stale_running_state,
)
from server_kit.audit_log import AuditLog
from server_kit.clock import Clock
from server_kit.database.base import Database
from server_kit.errors import ServerError

_SWEEP_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.05
_MOST_STEPS: Final = 256

Step = Callable[[AsyncConnection], Awaitable[Swept]]


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Output, results and files go after `output`, or before that where they take more than `output_bytes`;
    the record of the execution goes after `record`.
    """

    output: timedelta = timedelta(days=30)
    output_bytes: int = 4 << 30
    record: timedelta = timedelta(days=365)


class Retention:
    """Any process on the database may sweep, several at a time too: each step is one transaction."""

    def __init__(self, *, policy: RetentionPolicy, database: Database, audit: AuditLog, clock: Clock) -> None:
        self._policy = policy
        self._database = database
        self._audit = audit
        self._clock = clock
        self._log = structlog.get_logger("executor.retention")

    async def run(self) -> None:
        """Sweep once a minute, until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                await self.sweep()
            except ServerError as error:
                self._log.warning("sweep_postponed", problem=str(error))

    async def sweep(self) -> Swept:
        """All that the policy no longer keeps; a rest is left to the next sweep. Raises ServerError."""
        now, policy = self._clock.now(), self._policy
        steps: tuple[tuple[str, Step], ...] = (
            ("record_age", lambda connection: remove_records_before(connection, now - policy.record)),
            (
                "output_age",
                lambda connection: remove_output_before(connection, now - policy.output, now=now),
            ),
            (
                "output_size",
                lambda connection: remove_oldest_output(connection, policy.output_bytes, now=now),
            ),
        )
        ids: list[str] = []
        freed = 0
        for reason, step in steps:
            for _ in range(_MOST_STEPS):
                swept = await self._database.write(self._audited(reason, step))
                ids += swept.execution_ids
                freed += swept.freed_bytes
                if not swept.execution_ids:
                    break
                # Calls come first.
                await asyncio.sleep(_PAUSE_SECONDS)
        await self._database.write(remove_stale_running_state)
        if ids:
            self._log.info("swept", executions=len(ids), freed_bytes=freed)
        return Swept(tuple(ids), freed)

    def _audited(self, reason: str, step: Step) -> Step:
        async def write(connection: AsyncConnection) -> Swept:
            swept = await step(connection)
            if swept.execution_ids:
                executions: list[JsonValue] = [*swept.execution_ids]
                await self._audit.append(
                    connection,
                    "executions.swept",
                    actor="executor",
                    subject=reason,
                    details={"executions": executions, "freed_bytes": swept.freed_bytes},
                )
            return swept

        return write
