"""Groups of people, which rules ask for by name: "one of security and two of platform"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from hitl_contract.display import safe_text
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.errors import AlreadyExists, IdentityRefused, UnknownGroup
from hitl_mcp.identity.delegation_rows import end_delegations
from hitl_mcp.identity.delegation_terms import Delegation
from hitl_mcp.identity.hierarchy import Role, RoleHierarchy, checked_role
from hitl_mcp.identity.lookup import require_person
from hitl_mcp.identity.register import Changing, IdentityRegister, Reading
from hitl_mcp.storage.schema import group_members, people_groups


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """A group and the ids of its members, suspended ones included."""

    name: str
    members: tuple[str, ...]
    created_at: datetime


class GroupDirectory:
    """Makes groups and says who is in them."""

    def __init__(self, register: IdentityRegister, hierarchy: RoleHierarchy | None = None) -> None:
        self._register = register
        self._hierarchy = hierarchy or RoleHierarchy()

    async def add(self, name: str, members: tuple[str, ...] = (), *, actor: str = "operator") -> GroupEntry:
        """Make a group.

        Raises:
            IdentityRefused: the name cannot be one, or is that of a role that gives powers.
            AlreadyExists: there is a group of this name.
            UnknownPerson: a member is not known.
        """
        group = checked_role(name, field="group")
        if group in {*Role} or group in self._hierarchy.senior_roles:
            raise IdentityRefused("group", f"{group} is a role; give it to people with: hitl people roles")

        async def store(changing: Changing) -> GroupEntry:
            if await changing.one(people_groups, name=group) is not None:
                raise AlreadyExists(f"There is a group called {group} already.")
            await changing.put(people_groups, {"name": group, "created_at": changing.now})
            await changing.audit("group.added", actor=actor, subject=group)
            joined = sorted({await _join(changing, group, member, actor) for member in members})
            return GroupEntry(group, tuple(joined), changing.now)

        return await self._register.write(store)

    async def remove(self, name: str, *, actor: str = "operator") -> None:
        """Delete a group. Whoever was in it is no longer.

        Raises:
            UnknownGroup: there is none of this name.
        """

        async def store(changing: Changing) -> None:
            row = await _require(changing, name)
            for member in await changing.many(group_members, group_members.c.group_name == row.name):
                await _leave(changing, member, actor)
            await changing.remove(people_groups, row)
            await changing.audit("group.removed", actor=actor, subject=row.name)

        await self._register.write(store)

    async def join(self, name: str, person: str, *, actor: str = "operator") -> str:
        """Put a person into a group and return their id. Does nothing when they are in it.

        Raises:
            UnknownGroup, UnknownPerson: there is none of this name.
        """

        async def store(changing: Changing) -> str:
            row = await _require(changing, name)
            return await _join(changing, row.name, person, actor)

        return await self._register.write(store)

    async def leave(self, name: str, person: str, *, actor: str = "operator") -> str:
        """Take a person out of a group and return their id. Does nothing when they are not in it.

        Raises:
            UnknownGroup, UnknownPerson: there is none of this name.
        """

        async def store(changing: Changing) -> str:
            group, member = await _require(changing, name), await require_person(changing, person)
            row = await changing.one(group_members, group_name=group.name, person_id=member.person_id)
            if row is not None:
                await _leave(changing, row, actor)
            return member.person_id

        return await self._register.write(store)

    async def list(self) -> list[GroupEntry]:
        """Every group, by name."""

        async def find(reading: Reading) -> tuple[list[Row[Any]], list[Row[Any]]]:
            groups = await reading.many(people_groups, order_by=people_groups.c.name)
            return groups, await reading.many(group_members)

        groups, members = await self._register.read(find)
        return [
            GroupEntry(
                group.name,
                tuple(sorted(each.person_id for each in members if each.group_name == group.name)),
                group.created_at,
            )
            for group in groups
        ]


async def _require(changing: Changing, name: str) -> Row[Any]:
    row = await changing.one(people_groups, name=checked_role(name, field="group"))
    if row is None:
        raise UnknownGroup(
            f'There is no group called "{safe_text(person_key(name)[:80])}". See: hitl groups list'
        )
    return row


async def _join(changing: Changing, group: str, person: str, actor: str) -> str:
    member = await require_person(changing, person)
    key = {"group_name": group, "person_id": member.person_id}
    if await changing.one(group_members, **key) is None:
        await changing.put(group_members, {**key, "created_at": changing.now})
        await changing.audit("group.joined", actor=actor, subject=member.person_id, details={"group": group})
    return member.person_id


async def _leave(changing: Changing, row: Row[Any], actor: str) -> None:
    await changing.remove(group_members, row)
    await changing.audit("group.left", actor=actor, subject=row.person_id, details={"group": row.group_name})

    def lends_it(delegation: Delegation) -> bool:
        return delegation.delegator == row.person_id and row.group_name in delegation.scope.groups

    await end_delegations(changing, row.person_id, actor=actor, because="left the group", only=lends_it)
