"""Who can approve a request now, who of them is away, and who acts for whom: for the page of the request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hitl_contract.display import safe_text
from hitl_mcp.approvals.errors import ReviewTooShort
from hitl_mcp.approvals.models import Assurance, DecisionInput, RequestRecord, RequestStatus, Verdict
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.identity.absences import AbsenceDirectory
from hitl_mcp.identity.people import PeopleDirectory
from server_kit.clock import Clock

_LOOKED_THROUGH: Final = 50


@dataclass(frozen=True)
class DeciderView:
    """One who can approve. `substitute` is who was named when they said that they are away."""

    name: str
    acting_for: tuple[str, ...]
    away_until: datetime | None
    substitute: str | None


@dataclass(frozen=True)
class DecidersView:
    """`more` says that there are people who were not looked at."""

    people: tuple[DeciderView, ...]
    more: bool


@dataclass(frozen=True)
class Deciders:
    service: ApprovalService
    people: PeopleDirectory
    absences: AbsenceDirectory
    clock: Clock

    async def of(self, record: RequestRecord) -> DecidersView | None:
        """Those whose approval would be taken as things stand; None once the request has ended."""
        request = record.request
        if request.status is not RequestStatus.PENDING:
            return None
        now = self.clock.now()
        away = await self.absences.at(now)
        known = [each for each in await self.people.list() if each.suspended_at is None]
        found: list[DeciderView] = []
        for each in known[:_LOOKED_THROUGH]:
            capacity = await self.people.capacity(
                each.person_id,
                at=now,
                agent=request.agent,
                action_type=request.action.type,
                risk=request.risk_level,
                request_id=request.request_id,
            )
            if capacity is None or not await self._may_approve(record, each.person_id):
                continue
            absence = away.get(each.person_id)
            found.append(
                DeciderView(
                    name=safe_text(capacity.display_name),
                    acting_for=tuple(safe_text(acting.person_id) for acting in capacity.acting_for),
                    away_until=None if absence is None else absence.until,
                    substitute=safe_text(absence.substitute) if absence and absence.substitute else None,
                )
            )
        return DecidersView(tuple(found), more=len(known) > _LOOKED_THROUGH)

    async def _may_approve(self, record: RequestRecord, person: str) -> bool:
        refusal = await self.service.refusal_of(
            DecisionInput(
                request_id=record.request.request_id,
                person=person,
                verdict=Verdict.APPROVE,
                reason="to be given",
                channel="web",
                assurance=Assurance.SESSION,
                action_digest=record.request.action_digest,
            )
        )
        return refusal is None or isinstance(refusal, ReviewTooShort)
