"""Takes away what executions put out once it is old or too much, a few at a time. The audit log and the
ledger of spent tokens are never touched: a token stays spent whatever becomes of its execution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.models import UNFINISHED
from executor_mcp.storage.schema import (
    execution_files,
    execution_outcomes,
    executions,
    metadata,
    running_output,
    running_progress,
)

AT_A_TIME: Final = 16
_BELOW: Final = tuple(
    table
    for table in metadata.sorted_tables
    if any(key.column.table is executions for key in table.foreign_keys)
)
_FINAL: Final = executions.c.status.not_in([status.value for status in UNFINISHED])
# As the partial index has it: with a parameter no database could tell that it applies.
_KEPT: Final = text("stored_bytes > 0")


@dataclass(frozen=True, slots=True)
class Swept:
    """What one step took away."""

    execution_ids: tuple[str, ...] = ()
    freed_bytes: int = 0


async def stored_bytes(connection: AsyncConnection) -> int:
    """All that executions put out and that is still kept."""
    return int(await connection.scalar(select(func.sum(executions.c.stored_bytes)).where(_KEPT)) or 0)


async def remove_output_before(connection: AsyncConnection, moment: datetime, *, now: datetime) -> Swept:
    """The output, results and files of executions that ended before `moment`."""
    rows = await connection.execute(
        select(executions.c.execution_id, executions.c.stored_bytes)
        .where(_KEPT, executions.c.finished_at < moment)
        .order_by(executions.c.finished_at)
        .limit(AT_A_TIME)
    )
    return await _remove_output(connection, [(row[0], row[1]) for row in rows], now=now)


async def remove_oldest_output(connection: AsyncConnection, most_bytes: int, *, now: datetime) -> Swept:
    """Of the oldest executions, until no more than `most_bytes` are kept."""
    over = await stored_bytes(connection) - most_bytes
    if over <= 0:
        return Swept()
    rows = await connection.execute(
        select(executions.c.execution_id, executions.c.stored_bytes)
        .where(_KEPT, executions.c.finished_at.is_not(None))
        .order_by(executions.c.finished_at)
        .limit(AT_A_TIME)
    )
    chosen: list[tuple[str, int]] = []
    for row in rows:
        if over <= 0:
            break
        chosen.append((row[0], row[1]))
        over -= row[1]
    return await _remove_output(connection, chosen, now=now)


async def remove_records_before(connection: AsyncConnection, moment: datetime) -> Swept:
    """Everything of executions that ended before `moment`, but for their spent tokens."""
    rows = await connection.execute(
        select(executions.c.execution_id, executions.c.stored_bytes)
        .where(executions.c.finished_at < moment, _FINAL)
        .order_by(executions.c.finished_at)
        .limit(AT_A_TIME)
    )
    found = [(row[0], row[1]) for row in rows]
    ids = [execution_id for execution_id, _ in found]
    for table in (*_BELOW, executions):
        await connection.execute(delete(table).where(table.c.execution_id.in_(ids)))
    return Swept(tuple(ids), sum(size for _, size in found))


async def remove_stale_running_state(connection: AsyncConnection) -> None:
    """What a process put down although its execution had been ended by another."""
    for table in (running_output, running_progress):
        ended = select(executions.c.execution_id).where(
            executions.c.execution_id == table.c.execution_id, _FINAL
        )
        await connection.execute(delete(table).where(ended.exists()))


async def _remove_output(
    connection: AsyncConnection, found: Sequence[tuple[str, int]], *, now: datetime
) -> Swept:
    ids = [execution_id for execution_id, _ in found]
    if not ids:
        return Swept()
    await connection.execute(delete(execution_files).where(execution_files.c.execution_id.in_(ids)))
    await connection.execute(
        update(execution_outcomes)
        .where(execution_outcomes.c.execution_id.in_(ids))
        .values(stdout=b"", stderr=b"", result_json=None, checkpoint_json=None)
    )
    await connection.execute(
        update(executions)
        .where(executions.c.execution_id.in_(ids))
        .values(stored_bytes=0, output_removed_at=now)
    )
    return Swept(tuple(ids), sum(size for _, size in found))
