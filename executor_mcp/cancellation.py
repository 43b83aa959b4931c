"""Leaving word that an execution is to be stopped, for whichever process runs it."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.storage.executions import ExecutionStore
from executor_mcp.storage.waiting import WAITING_CHANGED
from server_kit.audit_log import AuditLog
from server_kit.clock import Clock
from server_kit.database.base import Database


class CancelRequests:
    """Durable and audited: a process that is just starting the program finds it too."""

    def __init__(
        self, *, database: Database, executions: ExecutionStore, audit: AuditLog, clock: Clock
    ) -> None:
        self._database = database
        self._executions = executions
        self._audit = audit
        self._clock = clock

    async def leave(self, execution_id: str, *, actor: str) -> None:
        """Does nothing where it has ended or was asked to stop before. Raises ServerError."""

        async def write(connection: AsyncConnection) -> None:
            if await self._executions.request_cancel(connection, execution_id, at=self._clock.now()):
                await self._audit.append(
                    connection, "execution.cancel_requested", actor=actor, subject=execution_id, details={}
                )
                # What has not begun is ended by whoever looks after the queue.
                await self._database.changes.publish(connection, WAITING_CHANGED)

        await self._database.write(write)
