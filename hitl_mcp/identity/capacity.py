"""What a person may do at one moment, read in one view of identity.

1. The person is known and not suspended, or may do nothing.
2. In their own right they have their roles, what these imply, and their groups.
3. A delegation to them counts when it is in force and covers the request, its delegator is known, not
   suspended and an approver in their own right, and is not the requester. It lends what its scope names of
   the delegator's own roles and groups, never what was lent to the delegator.
4. Who is no approver and acts for nobody may do nothing; an auditor who is no approver acts for nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hitl_mcp.approvals.capacity import ActingFor, Capacity
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.identity.delegation_rows import delegation_of
from hitl_mcp.identity.delegation_terms import Delegation
from hitl_mcp.identity.hierarchy import Role, RoleHierarchy
from hitl_mcp.identity.lookup import active_person
from hitl_mcp.identity.register import Reading
from hitl_mcp.storage.schema import delegations, group_members, people


@dataclass(frozen=True, slots=True)
class Matter:
    """The request that somebody would decide."""

    agent: str
    action_type: str
    risk: RiskLevel
    request_id: str


async def own_groups(
    reading: Reading, person_id: str, roles: list[str], hierarchy: RoleHierarchy
) -> frozenset[str]:
    """The roles and groups that a person has in their own right."""
    memberships = await reading.many(group_members, group_members.c.person_id == person_id)
    return hierarchy.effective(roles) | {row.group_name for row in memberships}


async def capacity_of(
    reading: Reading, person: str, matter: Matter, *, at: datetime, hierarchy: RoleHierarchy
) -> Capacity | None:
    """What this person may do about the matter at `at`; None when nothing."""
    row = await active_person(reading, person)  # 1
    if row is None:
        return None
    groups = await own_groups(reading, row.person_id, row.roles, hierarchy)  # 2
    stored = await reading.many(
        delegations,
        delegations.c.delegate == row.person_id,
        delegations.c.until > at,
        order_by=delegations.c.delegation_id,
    )
    acting_for = [
        acting
        for each in map(delegation_of, stored)
        if (acting := await _acting_for(reading, each, matter, at, hierarchy)) is not None
    ]
    if Role.APPROVER not in groups and (not acting_for or Role.AUDITOR in groups):  # 4
        return None
    return Capacity(row.person_id, row.display_name, groups, tuple(acting_for))


async def members_of(reading: Reading, group: str, hierarchy: RoleHierarchy) -> tuple[str, ...]:
    """The ids of the active people who have this role or are in this group, in their own right."""
    wanted = person_key(group)
    active = await reading.many(people, people.c.suspended_at.is_(None))
    inside = {
        row.person_id for row in await reading.many(group_members, group_members.c.group_name == wanted)
    }
    return tuple(
        sorted(
            row.person_id
            for row in active
            if row.person_id in inside or wanted in hierarchy.effective(row.roles)
        )
    )


async def _acting_for(
    reading: Reading, delegation: Delegation, matter: Matter, at: datetime, hierarchy: RoleHierarchy
) -> ActingFor | None:
    in_scope = delegation.scope.covers(
        agent=matter.agent,
        action_type=matter.action_type,
        risk=matter.risk,
        request_id=matter.request_id,
    )
    if not delegation.in_force(at) or not in_scope:  # 3
        return None
    if delegation.delegator == person_key(matter.agent):
        return None
    delegator = await active_person(reading, delegation.delegator)
    if delegator is None:
        return None
    own = await own_groups(reading, delegator.person_id, delegator.roles, hierarchy)
    lent = delegation.scope.lent_of(own)
    if Role.APPROVER not in own or not lent:
        return None
    return ActingFor(delegator.person_id, lent, delegation.delegation_id)
