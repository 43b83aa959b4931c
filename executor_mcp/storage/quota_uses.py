"""What counts against quotas: read from the executions themselves, so that every executor counts alike."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.models import UNFINISHED, Execution
from executor_mcp.quotas import Demand, Excess, PrincipalKind, Quota, QuotaRules, Use, excess
from executor_mcp.storage.schema import execution_approvers, execution_outcomes, executions
from server_kit.database.row_insert import RowInsert

_INSERT: Final = RowInsert(insert(execution_approvers))
_UNFINISHED = tuple(status.value for status in UNFINISHED)


async def note_approvers(connection: AsyncConnection, execution: Execution, people: Iterable[str]) -> None:
    """Once for each person, however many approvals of theirs there were."""
    for person in sorted(set(people)):
        row = {"execution_id": execution.execution_id, "person": person, "created_at": execution.created_at}
        await _INSERT.execute(connection, row)


async def find_excess(
    connection: AsyncConnection,
    rules: QuotaRules,
    principals: Iterable[tuple[PrincipalKind, str]],
    demand: Demand,
    *,
    now: datetime,
) -> Excess | None:
    """What stands against one more execution for these; whose quota it is stands before the text.

    Within a writing transaction nothing can come between this and what the caller writes.
    """
    for kind, name in principals:
        quota = rules.of(kind, name)
        uses = await _uses(connection, kind, name, quota, now - rules.window)
        found = excess(quota, uses, demand, now=now, window=rules.window)
        if found is not None:
            return Excess(f"quota of the {kind} {name[:128]!a}: {found.text}", found.retry_seconds)
    return None


async def _uses(
    connection: AsyncConnection, kind: PrincipalKind, name: str, quota: Quota, since: datetime
) -> tuple[Use, ...]:
    in_window = executions.c.created_at > since
    counted = executions.c.status.in_(_UNFINISHED)
    if quota.executions is not None or quota.cpu_seconds is not None:
        counted = counted | in_window
    query = select(
        executions.c.created_at,
        executions.c.status,
        executions.c.wall_limit_seconds,
        executions.c.cpu_limit_seconds,
        execution_outcomes.c.cpu_seconds,
    ).join_from(executions, execution_outcomes, isouter=True)
    if kind == "agent":
        query = query.where(executions.c.agent == name)
    else:
        query = query.join(
            execution_approvers, execution_approvers.c.execution_id == executions.c.execution_id
        ).where(execution_approvers.c.person == name)
    rows = await connection.execute(query.where(counted))
    return tuple(
        Use(
            at=row.created_at,
            cpu_seconds=row.cpu_seconds if row.cpu_seconds is not None else row.cpu_limit_seconds or 0.0,
            ends_by=row.created_at + timedelta(seconds=row.wall_limit_seconds or 0.0)
            if row.status in _UNFINISHED
            else None,
        )
        for row in rows
    )
