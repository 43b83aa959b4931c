"""The audit trail of one subject: what the log has about it. Implements `approvals.ports.AuditTrail`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

from pydantic import JsonValue
from sqlalchemy import Row, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.audit_chain import AuditEntry
from server_kit.audit_log import AuditLog
from server_kit.audit_tables import AuditTables

CHAIN: Final = "hitl"
"""The name of this server's chain."""


class SqlAuditTrail:
    def __init__(self, log: AuditLog, tables: AuditTables) -> None:
        self._log = log
        entries = tables.entries
        self._about = (
            select(entries).where(entries.c.subject == bindparam("subject")).order_by(entries.c.sequence)
        )
        self._about_some = self._about.where(entries.c.event.in_(bindparam("events", expanding=True)))

    async def append(
        self,
        connection: AsyncConnection,
        event: str,
        *,
        actor: str,
        subject: str,
        details: Mapping[str, JsonValue],
    ) -> AuditEntry:
        return await self._log.append(connection, event, actor=actor, subject=subject, details=details)

    async def about(
        self, connection: AsyncConnection, subject: str, events: Collection[str] | None = None
    ) -> Sequence[AuditEntry]:
        if events is None:
            found = await connection.execute(self._about, {"subject": subject})
        else:
            found = await connection.execute(self._about_some, {"subject": subject, "events": list(events)})
        return [_entry(row) for row in found]


def _entry(row: Row[Any]) -> AuditEntry:
    try:
        details: object = json.loads(row.details)
    except ValueError:
        details = None
    return AuditEntry(
        chain=row.chain,
        sequence=row.sequence,
        at=row.at,
        event=row.event,
        actor=row.actor,
        subject=row.subject,
        # Without readable details somebody edited the log: such an entry proves nothing.
        details=cast("dict[str, JsonValue]", details) if isinstance(details, dict) else {},
        previous_hash=row.previous_hash,
        entry_hash=row.entry_hash,
    )
