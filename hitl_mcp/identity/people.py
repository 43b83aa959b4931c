"""People: who may decide, who administers, and which account on which channel is whose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from hitl_mcp.approvals.capacity import Capacity
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.ports import PersonRecord
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.errors import AlreadyExists
from hitl_mcp.identity.accounts import ChannelAccounts
from hitl_mcp.identity.capacity import Matter, capacity_of, members_of
from hitl_mcp.identity.delegation_rows import end_delegations
from hitl_mcp.identity.delegation_terms import Delegation
from hitl_mcp.identity.grant_rows import end_grants
from hitl_mcp.identity.hierarchy import Role, RoleHierarchy, checked_role
from hitl_mcp.identity.lookup import NOBODY, active_person, find_person, key_of, require_person
from hitl_mcp.identity.names import checked_person_id
from hitl_mcp.identity.passwords import Passwords
from hitl_mcp.identity.register import Changing, IdentityRegister, Reading
from hitl_mcp.identity.sign_in import SignInThrottle
from hitl_mcp.storage.schema import channel_identities, grants, people

__all__ = ["NOBODY", "PeopleDirectory", "PersonEntry", "Role"]


@dataclass(frozen=True, slots=True)
class PersonEntry:
    """A person as listed, suspended or not. `roles` are those stated, without what they imply."""

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
        register: IdentityRegister,
        *,
        passwords: Passwords,
        throttle: SignInThrottle,
        hierarchy: RoleHierarchy | None = None,
    ) -> None:
        self._register = register
        self._accounts = ChannelAccounts(register)
        self._passwords = passwords
        self._throttle = throttle
        self._hierarchy = hierarchy or RoleHierarchy()
        self.link = self._accounts.link
        self.unlink = self._accounts.unlink
        self.resolve = self._accounts.resolve

    async def add(
        self,
        name: str,
        password: str | None,
        roles: Sequence[str] = (Role.APPROVER,),
        *,
        actor: str = "operator",
    ) -> PersonRecord:
        """Register a person. Without a password they can decide over their channels only.

        Raises:
            NameRefused, PasswordRefused, IdentityRefused: with what is allowed.
            AlreadyExists: a person of this name, in any spelling, is there.
        """
        person_id = checked_person_id(name)
        stated = _checked_roles(roles)
        password_hash = None if password is None else await self._passwords.hash(password, person=person_id)

        async def store(changing: Changing) -> None:
            if await changing.one(people, person_id=person_id) is not None:
                raise AlreadyExists(f"There is a person called {person_id} already.")
            await changing.put(
                people,
                {
                    "person_id": person_id,
                    "display_name": name.strip(),
                    "password_hash": password_hash,
                    "roles": stated,
                    "suspended_at": None,
                    "created_at": changing.now,
                },
            )
            await changing.audit(
                "person.added", actor=actor, subject=person_id, details={"roles": list(stated)}
            )

        await self._register.write(store)
        return PersonRecord(person_id, name.strip(), self._effective(stated))

    async def authenticate(self, person: str, password: str, *, address: str | None = None) -> PersonRecord:
        """The person who has this password.

        Takes the same time whether the person exists or not, and says the same.

        Raises:
            TooManyAttempts: before the password is looked at.
            SignInRefused: wrong name, wrong password, or suspended.
        """
        key = key_of(person)
        async with self._throttle.attempt(key, address) as attempt:
            row = await self._register.read(lambda reading: find_person(reading, key))
            matches = await self._passwords.matches(row.password_hash if row else None, password)
            if row is None or not matches or row.suspended_at is not None:
                raise attempt.refused()
            return self._record(row)

    async def eligible(self, person_id: str) -> PersonRecord | None:
        """The person, when known, not suspended and an approver; spelling and case do not matter."""
        record = await self.active(person_id)
        return record if record is not None and Role.APPROVER in record.roles else None

    async def active(self, person_id: str) -> PersonRecord | None:
        """The person, when known and not suspended, whatever the roles."""
        return await self._register.read(lambda reading: self.active_within(reading, person_id))

    async def active_within(self, reading: Reading, person_id: str) -> PersonRecord | None:
        """`active`, within a view of identity that is being read."""
        row = await active_person(reading, person_id)
        return None if row is None else self._record(row)

    async def capacity(
        self, person_id: str, *, at: datetime, agent: str, action_type: str, risk: RiskLevel, request_id: str
    ) -> Capacity | None:
        """What this person may do about such a request at `at`, delegations to them included.

        None when unknown, suspended, or no approver and nobody delegated to them. Absence does not forbid
        deciding.
        """
        matter = Matter(agent, action_type, risk, request_id)
        return await self._register.read(
            lambda reading: capacity_of(reading, person_id, matter, at=at, hierarchy=self._hierarchy)
        )

    async def members(self, group: str) -> tuple[str, ...]:
        """The ids of the active people of a role or group; of "approver", all approvers."""
        return await self._register.read(lambda reading: members_of(reading, group, self._hierarchy))

    async def set_password(self, person: str, password: str, *, actor: str = "operator") -> None:
        """Replace a password. Every session of the person ends.

        Raises:
            UnknownPerson, PasswordRefused: with what is allowed.
        """
        password_hash = await self._passwords.hash(password, person=person_key(person))

        async def store(changing: Changing) -> None:
            row = await require_person(changing, person)
            await changing.change(people, row, password_hash=password_hash)
            await changing.end_sessions_of(row.person_id)
            await changing.audit("person.password_changed", actor=actor, subject=row.person_id)

        await self._register.write(store)

    async def set_roles(self, person: str, roles: Sequence[str], *, actor: str = "operator") -> None:
        """State a person's roles anew. Delegations of what is lost end for good.

        Raises:
            UnknownPerson, IdentityRefused: with what is allowed.
        """
        stated = _checked_roles(roles)

        async def store(changing: Changing) -> None:
            row = await require_person(changing, person)
            kept = self._hierarchy.effective(stated)
            lost = self._hierarchy.effective(row.roles) - kept
            await changing.change(people, row, roles=stated)
            await changing.audit(
                "person.roles_changed",
                actor=actor,
                subject=row.person_id,
                details={"from": list(row.roles), "to": list(stated)},
            )

            def lends_what_is_lost(delegation: Delegation) -> bool:
                return delegation.delegator == row.person_id and (
                    Role.APPROVER not in kept or bool(lost & set(delegation.scope.groups))
                )

            await end_delegations(
                changing, row.person_id, actor=actor, because="role lost", only=lends_what_is_lost
            )

        await self._register.write(store)

    async def suspend(self, person: str, *, actor: str = "operator") -> None:
        """End every power of this person at once: sessions, accounts, grants, delegations from and to
        them, and earlier approvals not yet minted. What is ended so stays ended after a reinstatement.

        Raises:
            UnknownPerson: nobody has this name.
        """

        async def store(changing: Changing) -> None:
            row = await require_person(changing, person)
            await changing.change(people, row, suspended_at=changing.now)
            await changing.end_sessions_of(row.person_id)
            await changing.audit("person.suspended", actor=actor, subject=row.person_id)
            await end_delegations(changing, row.person_id, actor=actor, because="suspended")
            await end_grants(changing, grants.c.person == row.person_id, actor=actor, because="suspended")

        await self._register.write(store)

    async def reinstate(self, person: str, *, actor: str = "operator") -> None:
        """Undo a suspension.

        Raises:
            UnknownPerson: nobody has this name.
        """

        async def store(changing: Changing) -> None:
            row = await require_person(changing, person)
            await changing.change(people, row, suspended_at=None)
            await changing.audit("person.reinstated", actor=actor, subject=row.person_id)

        await self._register.write(store)

    async def list(self) -> list[PersonEntry]:
        """Everybody, by id, with the accounts linked to them."""

        async def find(reading: Reading) -> tuple[list[Row[Any]], list[Row[Any]]]:
            everybody = await reading.many(people, order_by=people.c.person_id)
            return everybody, await reading.many(channel_identities)

        rows, links = await self._register.read(find)
        accounts: dict[str, list[tuple[str, str]]] = {}
        for link in links:
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
            for row in rows
        ]

    def _record(self, row: Row[Any]) -> PersonRecord:
        return PersonRecord(row.person_id, row.display_name, self._effective(row.roles))

    def _effective(self, roles: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(self._hierarchy.effective(roles)))


def _checked_roles(roles: Sequence[str]) -> list[str]:
    return sorted({checked_role(role) for role in roles})
