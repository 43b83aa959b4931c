"""Sessions of people: what a browser cookie or a bearer token stands for."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.ports import PersonRecord
from hitl_mcp.identity.credentials import digest, is_session_token, new_session_token
from hitl_mcp.identity.people import PeopleDirectory
from hitl_mcp.identity.ports import AuditTrail, RowSealer
from hitl_mcp.identity.sealed_rows import SealedRows
from hitl_mcp.storage.schema import sessions
from server_kit.clock import Clock
from server_kit.database.base import Database

_KEPT_AFTER_EXPIRY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A new session. `token` is shown once and stored nowhere."""

    token: str = field(repr=False)
    csrf_token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session that is valid now, and whose it is. `session_id` names it in evidence; it opens nothing."""

    session_id: str
    person: PersonRecord
    csrf_token: str = field(repr=False)
    expires_at: datetime


class Sessions:
    """Opens, resolves and closes sessions."""

    def __init__(
        self,
        *,
        database: Database,
        sealer: RowSealer,
        audit: AuditTrail,
        clock: Clock,
        people: PeopleDirectory,
        lifetime: timedelta,
    ) -> None:
        self._database = database
        self._rows = SealedRows(sessions, sealer)
        self._audit = audit
        self._clock = clock
        self._people = people
        self._lifetime = lifetime

    async def open(self, person: PersonRecord, *, address: str | None = None) -> OpenedSession:
        """Open a session for somebody who has just proven who they are."""
        token, csrf_token, now = new_session_token(), secrets.token_urlsafe(32), self._clock.now()
        values = self._rows.sealed(
            {
                "token_hash": digest(token),
                "person_id": person.person_id,
                "created_at": now,
                "expires_at": now + self._lifetime,
                "revoked_at": None,
                "csrf_token": csrf_token,
            }
        )

        async def store(connection: AsyncConnection) -> None:
            await connection.execute(delete(sessions).where(sessions.c.expires_at < now - _KEPT_AFTER_EXPIRY))
            await connection.execute(insert(sessions).values(**values))
            await self._audit.append(
                connection,
                "session.opened",
                actor=person.person_id,
                subject=_session_id(values["token_hash"]),
                details={"address": address},
            )

        await self._database.write(store)
        return OpenedSession(token, csrf_token, values["expires_at"])

    async def resolve(self, token: str) -> SessionRecord | None:
        """The session of this token, when it is valid and its person is not suspended; else None."""
        row = await self._find(token)
        if row is None or row.revoked_at is not None or row.expires_at <= self._clock.now():
            return None
        person = await self._people.active(row.person_id)
        if person is None:
            return None
        return SessionRecord(_session_id(row.token_hash), person, row.csrf_token, row.expires_at)

    async def close(self, token: str) -> None:
        """End a session. Does nothing when it has ended."""
        row = await self._find(token)
        if row is None or row.revoked_at is not None:
            return
        values = self._rows.changed(row, revoked_at=self._clock.now())

        async def store(connection: AsyncConnection) -> None:
            await connection.execute(
                update(sessions).where(sessions.c.token_hash == row.token_hash).values(**values)
            )
            await self._audit.append(
                connection,
                "session.closed",
                actor=row.person_id,
                subject=_session_id(row.token_hash),
                details={},
            )

        await self._database.write(store)

    async def _find(self, token: str) -> Row[Any] | None:
        if not is_session_token(token):
            return None

        async def find(connection: AsyncConnection) -> Row[Any] | None:
            statement = select(sessions).where(sessions.c.token_hash == digest(token))
            return (await connection.execute(statement)).first()

        row = await self._database.read(find)
        return row if row is not None and self._rows.holds(row) else None


def _session_id(token_hash: str) -> str:
    return f"ses_{token_hash[:16]}"
