"""Sessions of people: what a browser cookie or a bearer token stands for.

A session opens nothing when any of these is so:

1. its seal does not hold, its time is up, or it is marked as ended;
2. the register of identity has it ended: the mark cannot be taken back by writing the database;
3. the register has had all sessions of this person ended (suspended, new password) since it was opened;
4. its person is suspended or unknown.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, delete

from hitl_mcp.approvals.ports import PersonRecord
from hitl_mcp.identity.credentials import digest, is_session_token, new_session_token
from hitl_mcp.identity.people import PeopleDirectory
from hitl_mcp.identity.register import Changing, IdentityRegister, Reading
from hitl_mcp.storage.schema import sessions

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

    def __init__(self, register: IdentityRegister, *, people: PeopleDirectory, lifetime: timedelta) -> None:
        self._register = register
        self._people = people
        self._lifetime = lifetime

    async def open(self, person: PersonRecord, *, address: str | None = None) -> OpenedSession:
        """Open a session for somebody who has just proven who they are."""
        token, csrf_token = new_session_token(), secrets.token_urlsafe(32)
        token_hash = digest(token)

        async def store(changing: Changing) -> datetime:
            now = changing.now
            expires_at = now + self._lifetime
            await changing.connection.execute(
                delete(sessions).where(sessions.c.expires_at < now - _KEPT_AFTER_EXPIRY)
            )
            await changing.put(
                sessions,
                {
                    "token_hash": token_hash,
                    "person_id": person.person_id,
                    "created_at": now,
                    "expires_at": expires_at,
                    "revoked_at": None,
                    "csrf_token": csrf_token,
                    "person_epoch": changing.session_epoch(person.person_id),
                },
            )
            await changing.audit(
                "session.opened",
                actor=person.person_id,
                subject=_session_id(token_hash),
                details={"address": address},
            )
            return expires_at

        return OpenedSession(token, csrf_token, await self._register.write(store))

    async def resolve(self, token: str) -> SessionRecord | None:
        """The session of this token, when it is valid and its person is not suspended; else None."""

        async def find(reading: Reading) -> SessionRecord | None:
            row = await self._valid(reading, token)
            person = None if row is None else await self._people.active_within(reading, row.person_id)  # 4
            if row is None or person is None:
                return None
            return SessionRecord(_session_id(row.token_hash), person, row.csrf_token, row.expires_at)

        return await self._register.read(find) if is_session_token(token) else None

    async def close(self, token: str) -> None:
        """End a session. Does nothing when it has ended."""
        if not is_session_token(token):
            return

        async def store(changing: Changing) -> None:
            row = await self._valid(changing, token)
            if row is None:
                return
            await changing.change(sessions, row, revoked_at=changing.now)
            await changing.end_session(row.token_hash, row.expires_at)
            await changing.audit("session.closed", actor=row.person_id, subject=_session_id(row.token_hash))

        await self._register.write(store)

    async def _valid(self, reading: Reading, token: str) -> Row[Any] | None:
        row = await reading.one(sessions, token_hash=digest(token))
        if row is None or row.revoked_at is not None or row.expires_at <= self._register.clock.now():  # 1
            return None
        if reading.session_ended(row.token_hash):  # 2
            return None
        return row if row.person_epoch == reading.session_epoch(row.person_id) else None  # 3


def _session_id(token_hash: str) -> str:
    return f"ses_{token_hash[:16]}"
