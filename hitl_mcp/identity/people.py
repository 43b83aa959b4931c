"""People: who may decide, who administers, and which account on which channel is whose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.ports import PersonRecord
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.errors import AlreadyExists, NameRefused, UnknownPerson
from hitl_mcp.identity.names import checked_person_id
from hitl_mcp.identity.passwords import Passwords
from hitl_mcp.identity.ports import AuditTrail, RowSealer
from hitl_mcp.identity.sealed_rows import SealedRows
from hitl_mcp.identity.sign_in import SignInThrottle
from hitl_mcp.storage.schema import channel_identities, people
from server_kit.clock import Clock
from server_kit.database.base import Database

NOBODY: Final = "(nobody's name)"
"""What stands for every name that nobody can have, such as one with control characters."""


class Role(StrEnum):
    """What a person may do."""

    APPROVER = "approver"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class PersonEntry:
    """A person as listed, suspended or not."""

    person_id: str
    display_name: str
    roles: tuple[str, ...]
    created_at: datetime
    suspended_at: datetime | None
    channels: tuple[tuple[str, str], ...]


class PeopleDirectory:
    """Implements `approvals.ports.PeopleDirectory`. A row that this server did not seal does not exist."""

    def __init__(
        self,
        *,
        database: Database,
        sealer: RowSealer,
        audit: AuditTrail,
        clock: Clock,
        passwords: Passwords,
        throttle: SignInThrottle,
    ) -> None:
        self._database = database
        self._people = SealedRows(people, sealer)
        self._channels = SealedRows(channel_identities, sealer)
        self._audit = audit
        self._clock = clock
        self._passwords = passwords
        self._throttle = throttle

    async def add(
        self,
        name: str,
        password: str | None,
        roles: Sequence[Role] = (Role.APPROVER,),
        *,
        actor: str = "operator",
    ) -> PersonRecord:
        """Register a person. Without a password they can decide over their channels only.

        Raises:
            NameRefused, PasswordRefused: with what is allowed.
            AlreadyExists: a person of this name, in any spelling, is there.
        """
        person_id = checked_person_id(name)
        password_hash = None if password is None else await self._passwords.hash(password, person=person_id)
        values = self._people.sealed(
            {
                "person_id": person_id,
                "display_name": name.strip(),
                "password_hash": password_hash,
                "roles": sorted({Role(role).value for role in roles}),
                "suspended_at": None,
                "created_at": self._clock.now(),
            }
        )

        async def store(connection: AsyncConnection) -> None:
            if await _row_of(connection, person_id) is not None:
                raise AlreadyExists(f"There is a person called {person_id} already.")
            await connection.execute(insert(people).values(**values))
            await self._audit.append(
                connection, "person.added", actor=actor, subject=person_id, details={"roles": values["roles"]}
            )

        await self._database.write(store)
        return PersonRecord(person_id, values["display_name"], tuple(values["roles"]))

    async def authenticate(self, person: str, password: str, *, address: str | None = None) -> PersonRecord:
        """The person who has this password.

        Takes the same time whether the person exists or not, and says the same.

        Raises:
            TooManyAttempts: before the password is looked at.
            SignInRefused: wrong name, wrong password, or suspended.
        """
        key = _key_of(person)
        async with self._throttle.attempt(key, address) as attempt:
            row = await self._find(key)
            matches = await self._passwords.matches(row.password_hash if row else None, password)
            if row is None or not matches or row.suspended_at is not None:
                raise attempt.refused()
            return _record(row)

    async def eligible(self, person_id: str) -> PersonRecord | None:
        """The person, when known, not suspended and an approver; spelling and case do not matter."""
        record = await self.active(person_id)
        return record if record is not None and Role.APPROVER in record.roles else None

    async def active(self, person_id: str) -> PersonRecord | None:
        """The person, when known and not suspended, whatever the roles."""
        row = await self._find(_key_of(person_id))
        return _record(row) if row is not None and row.suspended_at is None else None

    async def set_password(self, person: str, password: str, *, actor: str = "operator") -> None:
        """Replace a password.

        Raises:
            UnknownPerson, PasswordRefused: with what is allowed.
        """
        password_hash = await self._passwords.hash(password, person=person_key(person))
        await self._change(person, "person.password_changed", actor, password_hash=password_hash)

    async def suspend(self, person: str, *, actor: str = "operator") -> None:
        """End every power of this person at once, sessions and earlier approvals not yet minted included.

        Raises:
            UnknownPerson: nobody has this name.
        """
        await self._change(person, "person.suspended", actor, suspended_at=self._clock.now())

    async def reinstate(self, person: str, *, actor: str = "operator") -> None:
        """Undo a suspension.

        Raises:
            UnknownPerson: nobody has this name.
        """
        await self._change(person, "person.reinstated", actor, suspended_at=None)

    async def link(self, channel: str, external_id: str, person: str, *, actor: str = "operator") -> None:
        """State that an account on a channel is this person's. An account is one person's only.

        Raises:
            UnknownPerson: nobody has this name.
            AlreadyExists: the account is another person's.
        """
        person_id = person_key(person)
        values = self._channels.sealed(
            {
                "channel": channel,
                "external_id": external_id,
                "person_id": person_id,
                "created_at": self._clock.now(),
            }
        )

        async def store(connection: AsyncConnection) -> None:
            await self._require(connection, person)
            account = (channel_identities.c.channel == channel) & (
                channel_identities.c.external_id == external_id
            )
            known = (await connection.execute(select(channel_identities).where(account))).first()
            if known is not None and self._channels.holds(known) and known.person_id != person_id:
                raise AlreadyExists(
                    f"{channel} account {external_id} is linked to {known.person_id}. Unlink it there first."
                )
            await connection.execute(delete(channel_identities).where(account))
            await connection.execute(insert(channel_identities).values(**values))
            await self._audit.append(
                connection,
                "person.linked",
                actor=actor,
                subject=person_id,
                details={"channel": channel, "external_id": external_id},
            )

        await self._database.write(store)

    async def unlink(self, channel: str, external_id: str, *, actor: str = "operator") -> None:
        """Forget whose an account is. Does nothing when nobody's it was."""
        account = (channel_identities.c.channel == channel) & (
            channel_identities.c.external_id == external_id
        )

        async def store(connection: AsyncConnection) -> None:
            known = (await connection.execute(select(channel_identities).where(account))).first()
            if known is None:
                return
            await connection.execute(delete(channel_identities).where(account))
            await self._audit.append(
                connection,
                "person.unlinked",
                actor=actor,
                subject=known.person_id,
                details={"channel": channel, "external_id": external_id},
            )

        await self._database.write(store)

    async def resolve(self, channel: str, external_id: str) -> str | None:
        """The id of the active person whose account this is; None for every other account."""

        async def find(connection: AsyncConnection) -> Row[Any] | None:
            statement = select(channel_identities).where(
                (channel_identities.c.channel == channel) & (channel_identities.c.external_id == external_id)
            )
            return (await connection.execute(statement)).first()

        row = await self._database.read(find)
        if row is None or not self._channels.holds(row):
            return None
        record = await self.active(row.person_id)
        return record.person_id if record else None

    async def list(self) -> list[PersonEntry]:
        """Everybody, by id, with the accounts linked to them."""

        async def find(connection: AsyncConnection) -> tuple[list[Row[Any]], list[Row[Any]]]:
            rows = await connection.execute(select(people).order_by(people.c.person_id))
            links = await connection.execute(select(channel_identities))
            return list(rows.all()), list(links.all())

        rows, links = await self._database.read(find)
        accounts: dict[str, list[tuple[str, str]]] = {}
        for link in filter(self._channels.holds, links):
            accounts.setdefault(link.person_id, []).append((link.channel, link.external_id))
        return [
            PersonEntry(
                row.person_id,
                row.display_name,
                tuple(row.roles),
                row.created_at,
                row.suspended_at,
                tuple(sorted(accounts.get(row.person_id, ()))),
            )
            for row in filter(self._people.holds, rows)
        ]

    async def _find(self, person_id: str) -> Row[Any] | None:
        async def find(connection: AsyncConnection) -> Row[Any] | None:
            return await _row_of(connection, person_id)

        row = await self._database.read(find)
        return row if row is not None and self._people.holds(row) else None

    async def _require(self, connection: AsyncConnection, person: str) -> Row[Any]:
        row = await _row_of(connection, _key_of(person))
        if row is None or not self._people.holds(row):
            raise UnknownPerson(f"There is no person called {person[:80]!r}. See: hitl people list")
        return row

    async def _change(self, person: str, event: str, actor: str, **changes: Any) -> None:
        async def store(connection: AsyncConnection) -> None:
            row = await self._require(connection, person)
            values = self._people.changed(row, **changes)
            await connection.execute(
                update(people).where(people.c.person_id == row.person_id).values(**values)
            )
            await self._audit.append(connection, event, actor=actor, subject=row.person_id, details={})

        await self._database.write(store)


def _key_of(person: str) -> str:
    try:
        return checked_person_id(person)
    except NameRefused:
        # Some of what cannot be a name cannot be sent to a database either, or would disfigure the log.
        return NOBODY


async def _row_of(connection: AsyncConnection, person_id: str) -> Row[Any] | None:
    return (await connection.execute(select(people).where(people.c.person_id == person_id))).first()


def _record(row: Row[Any]) -> PersonRecord:
    return PersonRecord(row.person_id, row.display_name, tuple(row.roles))
