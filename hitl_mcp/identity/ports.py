"""What the stores of identity need from outside; minting and the audit log implement it, wiring brings it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection


class RowSealer(Protocol):
    """Seals rows under a key outside the database: who writes the database cannot add an approver."""

    def seal(self, kind: str, fields: Mapping[str, object]) -> str:
        """The seal over these fields of a row of this kind."""
        ...

    def holds(self, kind: str, fields: Mapping[str, object], seal: str) -> bool:
        """Whether `seal` was made by this server for exactly this."""
        ...


class AuditTrail(Protocol):
    """The append-only log, within the caller's transaction."""

    async def append(
        self,
        connection: AsyncConnection,
        event: str,
        *,
        actor: str,
        subject: str,
        details: Mapping[str, JsonValue],
    ) -> object:
        """Write one entry, or raise so that the transaction does not happen."""
        ...

    async def about(
        self, connection: AsyncConnection, subject: str, events: Collection[str] | None = None
    ) -> Sequence[object]:
        """The entries about `subject`; of all events, or only of those named."""
        ...
