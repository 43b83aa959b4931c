"""Reads and writes executions.

A final state is written once: every update names the unfinished states it leaves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.models import (
    UNFINISHED,
    Execution,
    ExecutionStatus,
    Outcome,
    SandboxIdentity,
    StoredFile,
    UsedPackage,
)
from executor_mcp.quotas import Demand
from executor_mcp.sandbox.base import Connection, ResourceUsage
from executor_mcp.storage.schema import execution_files, execution_outcomes, executions
from server_kit.database.base import ChangeFeed, Database
from server_kit.database.fixed_statement import FixedStatement
from server_kit.database.row_insert import RowInsert

MAX_PAGE = 200
_OUTCOME_COLUMNS = tuple(column for column in execution_outcomes.c if column.name != "execution_id")

_id, _status = executions.c.execution_id, executions.c.status
_INSERT: Final = RowInsert(insert(executions))
_INSERT_OUTCOME: Final = RowInsert(insert(execution_outcomes))
_INSERT_FILE: Final = RowInsert(insert(execution_files))
_BEGIN: Final = FixedStatement(
    update(executions)
    .where(_id == bindparam("wanted"), _status == ExecutionStatus.PENDING.value)
    .values(status=ExecutionStatus.RUNNING.value, started_at=bindparam("at"))
)
_END: Final = FixedStatement(
    update(executions)
    .where(_id == bindparam("wanted"), or_(*(_status == one.value for one in sorted(UNFINISHED))))
    .values(
        status=bindparam("ended_as"),
        started_at=bindparam("began"),
        finished_at=bindparam("ended"),
        receipt=bindparam("vouched"),
        stored_bytes=bindparam("size"),
    )
)
_CANCELLED: Final = FixedStatement(select(executions.c.cancel_requested_at).where(_id == bindparam("wanted")))
_WHOLE: Final = FixedStatement(
    select(executions, *_OUTCOME_COLUMNS)
    .join_from(executions, execution_outcomes, isouter=True)
    .where(_id == bindparam("wanted"))
)
_FILES: Final = FixedStatement(
    select(
        execution_files.c.path,
        execution_files.c.size,
        execution_files.c.sha256,
        execution_files.c.media_type,
    )
    .where(execution_files.c.execution_id == bindparam("wanted"))
    .order_by(execution_files.c.path)
)


@dataclass(frozen=True)
class FileContent:
    """An output file with its bytes."""

    file: StoredFile
    content: bytes = field(repr=False)


class ExecutionStore:
    """Rows of `executions`, `execution_outcomes` and `execution_files`.

    Methods with a connection join its transaction.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def changes(self) -> ChangeFeed:
        """Where changes of executions are published."""
        return self._database.changes

    @staticmethod
    def change_key(execution_id: str) -> str:
        """What is published when an execution changes."""
        return f"execution:{execution_id}"

    async def insert(self, connection: AsyncConnection, execution: Execution) -> None:
        row = {
            "execution_id": execution.execution_id,
            "token_id": execution.token_id,
            "request_id": execution.request_id,
            "agent": execution.agent,
            "action_digest": execution.action_digest,
            "language": execution.language,
            "owner": execution.owner,
            "backend": execution.sandbox.backend,
            "runtime": execution.sandbox.runtime,
            "image_digest": execution.sandbox.image_digest,
            "packages": _packages_text(execution.packages),
            "status": execution.status.value,
            "created_at": execution.created_at,
            "warnings": _warnings(execution),
            "wall_limit_seconds": execution.demand.wall_seconds,
            "cpu_limit_seconds": execution.demand.cpu_seconds,
        }
        await _INSERT.execute(connection, row)

    async def assign(self, connection: AsyncConnection, execution: Execution) -> None:
        """What waited is now its owner's, in the sandbox that it found there."""
        await connection.execute(
            update(executions)
            .where(executions.c.execution_id == execution.execution_id)
            .values(
                owner=execution.owner,
                backend=execution.sandbox.backend,
                runtime=execution.sandbox.runtime,
                image_digest=execution.sandbox.image_digest,
                packages=_packages_text(execution.packages),
                warnings=_warnings(execution),
            )
        )

    async def mark_running(self, connection: AsyncConnection, execution_id: str, *, at: datetime) -> bool:
        """False when the execution is no longer pending."""
        changed = await _BEGIN.change(connection, wanted=execution_id, at=at)
        await self._database.changes.publish(connection, self.change_key(execution_id))
        return changed == 1

    async def finish(
        self,
        connection: AsyncConnection,
        execution_id: str,
        outcome: Outcome,
        contents: Sequence[bytes],
        *,
        receipt: str | None,
        started_at: datetime | None,
        finished_at: datetime,
    ) -> bool:
        """Record the end; False, with nothing written, when the execution has ended already."""
        changed = await _END.change(
            connection,
            wanted=execution_id,
            ended_as=outcome.status.value,
            began=started_at,
            ended=finished_at,
            vouched=receipt,
            size=outcome.stored_bytes,
        )
        if changed != 1:
            return False
        await _INSERT_OUTCOME.execute(connection, _outcome_values(execution_id, outcome))
        for file, content in zip(outcome.files, contents, strict=True):
            row = {
                "execution_id": execution_id,
                "path": file.path,
                "size": file.size,
                "sha256": file.sha256,
                "media_type": file.media_type,
                "content": content,
            }
            await _INSERT_FILE.execute(connection, row)
        await self._database.changes.publish(connection, self.change_key(execution_id))
        return True

    async def request_cancel(self, connection: AsyncConnection, execution_id: str, *, at: datetime) -> bool:
        """Leave word for the process that runs it; False when it has ended or was asked to stop before."""
        changed = await connection.execute(
            update(executions)
            .where(
                executions.c.execution_id == execution_id,
                executions.c.status.in_([status.value for status in UNFINISHED]),
                executions.c.cancel_requested_at.is_(None),
            )
            .values(cancel_requested_at=at)
        )
        await self._database.changes.publish(connection, self.change_key(execution_id))
        return changed.rowcount == 1

    async def is_cancel_requested(self, execution_id: str) -> bool:
        async def read(connection: AsyncConnection) -> bool:
            row = await _CANCELLED.row(connection, wanted=execution_id)
            return row is not None and row.cancel_requested_at is not None

        return await self._database.read(read)

    async def get(self, execution_id: str) -> Execution | None:
        async def read(connection: AsyncConnection) -> Execution | None:
            row = await _WHOLE.row(connection, wanted=execution_id)
            if row is None:
                return None
            files = await _FILES.rows(connection, wanted=execution_id)
            return _execution(row, tuple(StoredFile(*file) for file in files))

        return await self._database.read(read)

    async def list_newest(
        self,
        *,
        agent: str | None,
        limit: int,
        active: bool = False,
        before: tuple[datetime, str] | None = None,
    ) -> tuple[Execution, ...]:
        """Newest first, without output, result or files; of all agents where none is given; `before` is the
        creation time and id of the last one seen.
        """
        query = (
            select(executions)
            .order_by(executions.c.created_at.desc(), executions.c.execution_id.desc())
            .limit(min(limit, MAX_PAGE))
        )
        if agent is not None:
            query = query.where(executions.c.agent == agent)
        if active:
            query = query.where(executions.c.status.in_([status.value for status in UNFINISHED]))
        if before is not None:
            created_at, execution_id = before
            query = query.where(
                (executions.c.created_at < created_at)
                | ((executions.c.created_at == created_at) & (executions.c.execution_id < execution_id))
            )

        async def read(connection: AsyncConnection) -> tuple[Execution, ...]:
            return tuple(_bare_execution(row) for row in await connection.execute(query))

        return await self._database.read(read)

    async def file(self, execution_id: str, path: str) -> FileContent | None:
        async def read(connection: AsyncConnection) -> FileContent | None:
            row = (
                await connection.execute(
                    select(execution_files).where(
                        execution_files.c.execution_id == execution_id, execution_files.c.path == path
                    )
                )
            ).one_or_none()
            if row is None:
                return None
            return FileContent(StoredFile(row.path, row.size, row.sha256, row.media_type), row.content)

        return await self._database.read(read)


def _warnings(execution: Execution) -> str | None:
    return json.dumps(execution.warnings) if execution.warnings else None


def _outcome_values(execution_id: str, outcome: Outcome) -> dict[str, object]:
    usage = outcome.usage
    return {
        "execution_id": execution_id,
        "ended_by": outcome.ended_by,
        "detail": outcome.detail,
        "exit_code": outcome.exit_code,
        "stdout": outcome.stdout,
        "stderr": outcome.stderr,
        "result_json": outcome.result_json,
        "truncated": outcome.truncated,
        "files_truncated": outcome.files_truncated,
        "wall_seconds": None if usage is None else usage.wall_seconds,
        "cpu_seconds": None if usage is None else usage.cpu_seconds,
        "peak_memory_bytes": None if usage is None else usage.peak_memory_bytes,
        "output_bytes": None if usage is None else usage.output_bytes,
        "peak_processes": None if usage is None else usage.peak_processes,
        "read_bytes": None if usage is None else usage.read_bytes,
        "written_bytes": None if usage is None else usage.written_bytes,
        "checkpoint_json": outcome.checkpoint_json,
        "connections": json.dumps([astuple(one) for one in outcome.connections])
        if outcome.connections
        else None,
    }


def _packages_text(packages: Sequence[UsedPackage]) -> str | None:
    return json.dumps([[one.package, one.layer] for one in packages]) if packages else None


def _bare_execution(row: Row[Any], outcome: Outcome | None = None) -> Execution:
    return Execution(
        execution_id=row.execution_id,
        token_id=row.token_id,
        request_id=row.request_id,
        agent=row.agent,
        action_digest=row.action_digest,
        language=row.language,
        owner=row.owner,
        sandbox=SandboxIdentity(row.backend, row.runtime, row.image_digest),
        status=ExecutionStatus(row.status),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        outcome=outcome,
        receipt=row.receipt,
        cancel_requested=row.cancel_requested_at is not None,
        warnings=() if row.warnings is None else tuple(json.loads(row.warnings)),
        packages=tuple(UsedPackage(*one) for one in json.loads(row.packages or "[]")),
        output_removed=row.output_removed_at is not None,
        demand=Demand(row.wall_limit_seconds or 0.0, row.cpu_limit_seconds or 0.0),
    )


def _execution(row: Row[Any], files: tuple[StoredFile, ...]) -> Execution:
    if row.ended_by is None:
        return _bare_execution(row)
    usage = None
    if row.wall_seconds is not None:
        usage = ResourceUsage(
            wall_seconds=row.wall_seconds,
            cpu_seconds=row.cpu_seconds,
            peak_memory_bytes=row.peak_memory_bytes,
            output_bytes=row.output_bytes,
            peak_processes=row.peak_processes,
            read_bytes=row.read_bytes,
            written_bytes=row.written_bytes,
        )
    outcome = Outcome(
        status=ExecutionStatus(row.status),
        ended_by=row.ended_by,
        detail=row.detail,
        exit_code=row.exit_code,
        stdout=row.stdout,
        stderr=row.stderr,
        result_json=row.result_json,
        truncated=row.truncated,
        files=files,
        files_truncated=row.files_truncated,
        usage=usage,
        checkpoint_json=row.checkpoint_json,
        connections=tuple(Connection(*one) for one in json.loads(row.connections or "[]")),
    )
    return _bare_execution(row, outcome)
