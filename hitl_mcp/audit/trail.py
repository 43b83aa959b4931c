"""The audit trail of one subject: what the log has about it. Implements `approvals.ports.AuditTrail`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

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

    async def about(self, connection: AsyncConnection, subject: str) -> Sequence[AuditEntry]:
        found = await connection.execute(self._about, {"subject": subject})
        return [_entry(row) for row in found]


def _entry(row: Row[Any]) -> AuditEntry:
    fields = dict(row._mapping)
    try:
        details: object = json.loads(fields["details"])
    except ValueError:
        details = None
    # Somebody edited the log: an entry without details proves nothing, and so no token is issued on it.
    return AuditEntry(**{**fields, "details": details if isinstance(details, dict) else {}})
