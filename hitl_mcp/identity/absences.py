"""Absences: when somebody is away, and who stands in for them. Absence does not forbid deciding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from hitl_mcp.approvals.ports import PersonRecord
from hitl_mcp.errors import CredentialRefused, IdentityRefused
from hitl_mcp.identity.delegation_rows import end_delegations
from hitl_mcp.identity.delegation_terms import MAX_AHEAD, DelegationScope, checked_period
from hitl_mcp.identity.delegations import DelegationDirectory, NewDelegation
from hitl_mcp.identity.hierarchy import Role
from hitl_mcp.identity.lookup import active_person, require_person
from hitl_mcp.identity.register import Changing, IdentityRegister, Reading
from hitl_mcp.storage.schema import absences
from server_kit.identifiers import new_identifier


@dataclass(frozen=True, slots=True)
class Absence:
    """Somebody is away from `starts_at` until before `until`; `substitute` has their delegation."""

    absence_id: str
    person_id: str
    starts_at: datetime
    until: datetime
    substitute: str | None


class AbsenceDirectory:
    """Records absences and their end."""

    def __init__(self, register: IdentityRegister, delegations: DelegationDirectory) -> None:
        self._register = register
        self._delegations = delegations

    async def add(
        self,
        person: str,
        until: datetime,
        *,
        starts_at: datetime | None = None,
        substitute: str | None = None,
        scope: DelegationScope | None = None,
        actor: PersonRecord | None = None,
    ) -> Absence:
        """Record an absence. A substitute gets a delegation for its time, within `scope`.

        Raises:
            UnknownPerson: nobody has this name.
            IdentityRefused: naming the field and the reason.
            CredentialRefused: only the person or an administrator may.
        """

        async def store(changing: Changing) -> Absence:
            row = await active_person(changing, person)
            if row is None:
                raise IdentityRefused("person", f"{person[:80]!r} is no active person here")
            _require_allowed(actor, row.person_id)
            start = checked_period(starts_at, until, now=changing.now, longest=MAX_AHEAD)
            absence = Absence(new_identifier("abs"), row.person_id, start, until, None)
            if substitute is not None:
                wanted = NewDelegation(
                    row.person_id, substitute, until, starts_at, scope or DelegationScope(), "absence"
                )
                lent = await self._delegations.add_within(
                    changing, wanted, actor=actor, absence_id=absence.absence_id
                )
                absence = replace(absence, substitute=lent.delegate)
            await _store(changing, absence, actor)
            return absence

        return await self._register.write(store)

    async def end(self, person: str, *, actor: PersonRecord | None = None) -> int:
        """End every absence of a person that is not over, with its delegation; how many there were.

        Raises:
            UnknownPerson: nobody has this name.
            CredentialRefused: only the person or an administrator may.
        """

        async def store(changing: Changing) -> int:
            row = await require_person(changing, person)
            _require_allowed(actor, row.person_id)
            open_ones = await changing.many(
                absences,
                absences.c.person_id == row.person_id,
                absences.c.until > changing.now,
                absences.c.ended_at.is_(None),
            )
            ended = {each.absence_id for each in open_ones}
            for each in open_ones:
                await changing.change(absences, each, ended_at=changing.now)
                await changing.audit(
                    "absence.ended",
                    actor=_name_of(actor),
                    subject=row.person_id,
                    details={"absence_id": each.absence_id},
                )
            await end_delegations(
                changing,
                row.person_id,
                actor=_name_of(actor),
                because="absence ended",
                only=lambda delegation: delegation.absence_id in ended,
            )
            return len(ended)

        return await self._register.write(store)

    async def at(self, moment: datetime) -> dict[str, Absence]:
        """Who is away at `moment`, by id; of several absences the one that ends last."""

        async def find(reading: Reading) -> list[Row[Any]]:
            return await reading.many(
                absences,
                absences.c.starts_at <= moment,
                absences.c.until > moment,
                absences.c.ended_at.is_(None),
                order_by=absences.c.until,
            )

        return {row.person_id: _absence_of(row) for row in await self._register.read(find)}


async def _store(changing: Changing, absence: Absence, actor: PersonRecord | None) -> None:
    await changing.put(
        absences,
        {
            "absence_id": absence.absence_id,
            "person_id": absence.person_id,
            "starts_at": absence.starts_at,
            "until": absence.until,
            "substitute": absence.substitute,
            "created_at": changing.now,
            "ended_at": None,
        },
    )
    await changing.audit(
        "absence.added",
        actor=_name_of(actor),
        subject=absence.person_id,
        details={
            "absence_id": absence.absence_id,
            "starts_at": absence.starts_at.isoformat(),
            "until": absence.until.isoformat(),
            "substitute": absence.substitute,
        },
    )


def _absence_of(row: Row[Any]) -> Absence:
    return Absence(row.absence_id, row.person_id, row.starts_at, row.until, row.substitute)


def _require_allowed(actor: PersonRecord | None, person_id: str) -> None:
    if actor is not None and actor.person_id != person_id and Role.ADMIN not in actor.roles:
        raise CredentialRefused("Only the person themselves or an administrator may.")


def _name_of(actor: PersonRecord | None) -> str:
    return "operator" if actor is None else actor.person_id
