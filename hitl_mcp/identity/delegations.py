"""Delegations: who lends whom the capacity to decide, for how long and for what.

A new delegation is checked in this order; each refusal names its field:

1. the delegator and the delegate are known and not suspended, are two people, and the delegate is no auditor
   who does not decide otherwise: the delegation would lend them nothing;
2. whoever makes it is the delegator, or an administrator who does not delegate to themselves;
3. its period is to come, not longer than allowed, and its scope is of known names;
4. the delegator is an approver in their own right, and has the groups of the scope;
5. it closes no cycle with delegations of the same time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, or_

from hitl_mcp.approvals.ports import PersonRecord
from hitl_mcp.errors import CredentialRefused, IdentityRefused, UnknownDelegation
from hitl_mcp.identity.capacity import own_groups
from hitl_mcp.identity.delegation_rows import delegation_of, end_delegation
from hitl_mcp.identity.delegation_terms import (
    MAX_REASON_CHARACTERS,
    Delegation,
    DelegationScope,
    chain_between,
    checked_period,
    checked_scope,
)
from hitl_mcp.identity.hierarchy import Role, RoleHierarchy
from hitl_mcp.identity.lookup import active_person, key_of
from hitl_mcp.identity.register import Changing, IdentityRegister, Reading
from hitl_mcp.storage.schema import delegations
from server_kit.identifiers import new_identifier

DEFAULT_MAX_DAYS: Final = 30
_LISTED: Final = 1000


@dataclass(frozen=True, slots=True)
class NewDelegation:
    """A delegation as it is asked for. `starts_at` None is now."""

    delegator: str
    delegate: str
    until: datetime
    starts_at: datetime | None = None
    scope: DelegationScope = field(default_factory=DelegationScope)
    reason: str | None = None


class DelegationDirectory:
    """Makes, lists and ends delegations."""

    def __init__(
        self,
        register: IdentityRegister,
        hierarchy: RoleHierarchy | None = None,
        *,
        max_days: int = DEFAULT_MAX_DAYS,
    ) -> None:
        self._register = register
        self._hierarchy = hierarchy or RoleHierarchy()
        self._longest = timedelta(days=max_days)

    async def add(self, wanted: NewDelegation, *, actor: PersonRecord | None = None) -> Delegation:
        """Make a delegation; `actor` None is the operator.

        Raises:
            IdentityRefused: naming the field and the reason.
            CredentialRefused: the actor may not make this one.
        """
        return await self._register.write(lambda changing: self.add_within(changing, wanted, actor=actor))

    async def add_within(
        self,
        changing: Changing,
        wanted: NewDelegation,
        *,
        actor: PersonRecord | None,
        absence_id: str | None = None,
    ) -> Delegation:
        """`add`, within a transaction that changes more."""
        delegator = await _require_active(changing, wanted.delegator, field="from")  # 1
        delegate = await _require_active(changing, wanted.delegate, field="to")
        if delegator.person_id == delegate.person_id:
            raise IdentityRefused("to", f"{delegate.person_id} cannot delegate to themselves")
        await self._require_useful(changing, delegate)
        _require_allowed(actor, delegator.person_id, delegate.person_id)  # 2
        start = checked_period(  # 3
            wanted.starts_at, wanted.until, now=changing.now, longest=self._longest
        )
        scope, reason = checked_scope(wanted.scope), _checked_reason(wanted.reason)
        await self._require_own(changing, delegator, scope)  # 4
        await _refuse_cycle(changing, delegator.person_id, delegate.person_id, start, wanted.until)  # 5
        delegation = Delegation(
            new_identifier("del"),
            delegator.person_id,
            delegate.person_id,
            start,
            wanted.until,
            scope,
            reason,
            changing.now,
            _name_of(actor),
            absence_id,
            None,
            None,
        )
        await self._store(changing, delegation)
        return delegation

    async def revoke(self, delegation_id: str, *, actor: PersonRecord | None = None) -> Delegation:
        """End a delegation at once: its delegator, its delegate or an administrator may.

        Raises:
            UnknownDelegation: there is none of this id that is not over.
            CredentialRefused: the actor may not end this one.
        """

        async def store(changing: Changing) -> Delegation:
            known = delegation_id.isascii() and "\0" not in delegation_id
            row = await changing.one(delegations, delegation_id=delegation_id) if known else None
            concerned = row is not None and (
                actor is None or Role.ADMIN in actor.roles or actor.person_id in {row.delegator, row.delegate}
            )
            if row is None or not concerned or row.revoked_at is not None or row.until <= changing.now:
                raise UnknownDelegation(
                    f"There is no delegation {delegation_id[:80]!r} of yours that is not over. "
                    "See: hitl delegations list"
                )
            await end_delegation(changing, row, actor=_name_of(actor), because="revoked")
            return delegation_of(row)

        return await self._register.write(store)

    async def list(self, *, person: str | None = None, over: bool = False) -> list[Delegation]:
        """Delegations, those that end last first; of one person's, and with those that are over, if asked."""
        conditions: list[Any] = []
        if person is not None:
            key = key_of(person)
            conditions.append(or_(delegations.c.delegator == key, delegations.c.delegate == key))
        if not over:
            conditions += [
                delegations.c.until > self._register.clock.now(),
                delegations.c.revoked_at.is_(None),
            ]

        async def find(reading: Reading) -> list[Row[Any]]:
            return await reading.many(delegations, *conditions, order_by=delegations.c.until.desc())

        return [delegation_of(row) for row in (await self._register.read(find))[:_LISTED]]

    async def _require_useful(self, changing: Changing, delegate: Row[Any]) -> None:
        groups = await own_groups(changing, delegate.person_id, delegate.roles, self._hierarchy)
        if Role.AUDITOR in groups and Role.APPROVER not in groups:
            raise IdentityRefused(
                "to",
                f"{delegate.person_id} is an auditor, who decides nothing in anybody's place. Name somebody "
                "else, or give them the role approver first",
            )

    async def _require_own(self, changing: Changing, delegator: Row[Any], scope: DelegationScope) -> None:
        own = await own_groups(changing, delegator.person_id, delegator.roles, self._hierarchy)
        if Role.APPROVER not in own:
            raise IdentityRefused(
                "from", f"{delegator.person_id} is no approver, and has nothing to delegate"
            )
        if missing := sorted(set(scope.groups) - own):
            raise IdentityRefused(
                "groups", f"{delegator.person_id} is not in {', '.join(missing)} in their own right"
            )

    @staticmethod
    async def _store(changing: Changing, delegation: Delegation) -> None:
        await changing.put(
            delegations,
            {
                "delegation_id": delegation.delegation_id,
                "delegator": delegation.delegator,
                "delegate": delegation.delegate,
                "starts_at": delegation.starts_at,
                "until": delegation.until,
                "scope": delegation.scope.to_json(),
                "reason": delegation.reason,
                "created_at": delegation.created_at,
                "created_by": delegation.created_by,
                "absence_id": delegation.absence_id,
                "revoked_at": None,
                "revoked_by": None,
            },
        )
        await changing.audit(
            "delegation.added",
            actor=delegation.created_by,
            subject=delegation.delegation_id,
            details={
                "from": delegation.delegator,
                "to": delegation.delegate,
                "starts_at": delegation.starts_at.isoformat(),
                "until": delegation.until.isoformat(),
                "scope": delegation.scope.to_json(),
                "reason": delegation.reason,
            },
        )


async def _require_active(changing: Changing, person: str, *, field: str) -> Row[Any]:
    row = await active_person(changing, person)
    if row is None:
        raise IdentityRefused(field, f"{person[:80]!r} is no active person here. See: hitl people list")
    return row


def _require_allowed(actor: PersonRecord | None, delegator: str, delegate: str) -> None:
    if actor is None or actor.person_id == delegator:
        return
    if Role.ADMIN not in actor.roles:
        raise CredentialRefused("Only an administrator may delegate for somebody else.")
    if actor.person_id == delegate:
        raise CredentialRefused("An administrator may not give themselves somebody else's power.")


async def _refuse_cycle(
    changing: Changing, delegator: str, delegate: str, start: datetime, until: datetime
) -> None:
    same_time = await changing.many(
        delegations,
        delegations.c.revoked_at.is_(None),
        delegations.c.until > start,
        delegations.c.starts_at < until,
    )
    path = chain_between(((row.delegator, row.delegate) for row in same_time), delegate, delegator)
    if path is not None:
        raise IdentityRefused("to", f"{' -> '.join((delegator, *path))} would be a cycle of delegations")


def _checked_reason(reason: str | None) -> str | None:
    if reason is None or not reason.strip():
        return None
    if len(reason) > MAX_REASON_CHARACTERS:
        raise IdentityRefused("reason", f"is longer than {MAX_REASON_CHARACTERS} characters")
    if "\0" in reason or any("\ud800" <= character <= "\udfff" for character in reason):
        raise IdentityRefused("reason", "has a character that cannot be stored")
    return reason.strip()


def _name_of(actor: PersonRecord | None) -> str:
    return "operator" if actor is None else actor.person_id
