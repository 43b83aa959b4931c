"""Making, listing and ending grants.

A grant is made in two steps: `preview` tells it in plain words, and `make` takes it only with the digest of
exactly these words. Both check, in this order:

1. the request is as this server stored it: about an action that a rule asks about and nobody edited, pending
   or approved;
2. the person saw the action that it names;
3. the count, the expiry and the ceiling are within bounds, and the request's own risk is within the ceiling;
4. a single approval fills the rule's terms, each time anew, and with a reason where they ask for one;
5. this person's own approval would do: an approver with that seat, who is neither the requester nor excluded;
6. the shape varies only where it may, and holds what was shown;
and `make` besides:
7. the words are those that the person confirmed, over a channel that is good enough for the terms;
8. it is no drill: who wants to allow one has approved it, and that ends it;
9. the agent has not too many grants already.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import func, select

from hitl_mcp.approvals.eligibility import acting_as
from hitl_mcp.approvals.errors import DigestChanged, SealBroken
from hitl_mcp.approvals.grants import (
    Grant,
    GrantUse,
    fills_its_seat,
    terms_digest,
    why_not_grantable,
)
from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.models import (
    ApprovalRequest,
    DecisionInput,
    RequestKind,
    RequestRecord,
    RequestStatus,
    Verdict,
)
from hitl_mcp.approvals.ports import PeopleDirectory, PersonRecord
from hitl_mcp.approvals.sealer import Sealer
from hitl_mcp.approvals.terms import RuleVerdict
from hitl_mcp.approvals.validation import MAX_REASON, check_text
from hitl_mcp.grants.errors import GrantNotAllowed, GrantRefused, UnknownGrant
from hitl_mcp.grants.forms import LONGEST, MAX_USES, Confirmation, GrantForm
from hitl_mcp.grants.rows import grant_of, use_of, values_of
from hitl_mcp.identity.grant_rows import end_grant
from hitl_mcp.identity.hierarchy import Role
from hitl_mcp.identity.register import Changing, IdentityRegister, Reading
from hitl_mcp.shapes.shape import shape_of
from hitl_mcp.shapes.wording import GrantBounds, wording_digest, wording_of
from hitl_mcp.storage.schema import grant_uses, grants
from server_kit.identifiers import new_identifier

MAX_LIVE: Final = 100
"""Most grants of one agent that are in force at a time: each is compared with what the agent asks."""
_LISTED: Final = 1000


class GrantDirectory:
    def __init__(
        self,
        register: IdentityRegister,
        *,
        people: PeopleDirectory,
        sealer: Sealer,
        find: Callable[[str], Awaitable[RequestRecord]],
        decide: Callable[[DecisionInput], Awaitable[RequestRecord]] | None = None,
    ) -> None:
        self._register = register
        self._people = people
        self._sealer = sealer
        self._find = find
        self._decide = decide

    async def preview(self, form: GrantForm) -> Grant:
        """The grant that this form would make, with its words and their digest; nothing is stored.

        Raises:
            RequestNotFound, SealBroken, DigestChanged: 1, 2.
            GrantRefused, InvalidSubmission: 1, 3, 4, naming what is in the way.
            GrantNotAllowed: 5.
            ShapeRefused: 6.
        """
        request = (await self._find(form.request_id)).request
        _require_grantable(request, self._sealer)  # 1
        if form.action_digest != request.action_digest:  # 2
            raise DigestChanged(request.request_id)
        now = self._register.clock.now()
        _require_bounds(form, request)  # 3
        if not now < form.expires_at <= now + LONGEST:
            raise GrantRefused("expires_at", "must be in the future, and at most 30 days from now")
        if reason := why_not_grantable(request.terms):  # 4
            raise GrantRefused("request", f"cannot be allowed in advance: {reason}")
        if request.terms.reason_required and not (form.reason or "").strip():
            raise GrantRefused("reason", f"is missing; the rule {request.policy} asks for one")
        person = await self._person_for(request, form.person)  # 5
        shape = shape_of(request.action, form.vary)  # 6
        wording = wording_of(
            request.action,
            shape,
            GrantBounds(
                request.agent,
                person,
                request.request_id,
                request.display_digest,
                request.policy,
                form.max_risk.value,
                form.uses,
                form.expires_at,
            ),
        )
        return Grant(
            grant_id="",
            agent=request.agent,
            person=person,
            shape=shape,
            wording=wording,
            wording_digest=wording_digest(wording),
            rule=request.policy,
            terms_digest=terms_digest(request.terms),
            max_risk=form.max_risk,
            allowed=form.uses,
            used=0,
            request_id=request.request_id,
            channel="",
            assurance=Assurance.CHAT,
            reason=form.reason,
            created_at=now,
            expires_at=form.expires_at,
        )

    async def make(self, form: GrantForm, confirmation: Confirmation) -> Grant:
        """Make a grant whose words the person confirmed. Raises what `preview` raises."""
        grant = replace(
            await self.preview(form),
            grant_id=new_identifier("grant"),
            channel=confirmation.channel,
            assurance=confirmation.assurance,
        )
        if confirmation.wording_digest != grant.wording_digest:  # 7
            raise GrantRefused(
                "wording_digest", "is not that of the words of this grant; preview it, read it and confirm it"
            )
        terms = (await self._find(form.request_id)).request.terms
        if not confirmation.assurance.satisfies(terms.required_assurance):
            raise GrantNotAllowed(
                "This cannot be allowed over that channel. Sign in on the page and do it there."
            )

        await self._refuse_drill(form, confirmation)  # 8

        async def store(changing: Changing) -> Grant:
            await _require_room(changing, grant)  # 9
            made = replace(grant, created_at=changing.now)
            await changing.put(grants, values_of(made, confirmation.evidence))
            await changing.audit(
                "grant.made",
                actor=f"person:{made.person}",
                subject=made.grant_id,
                details={
                    "agent": made.agent,
                    "request_id": made.request_id,
                    "shape": made.shape.to_text(),
                    "wording_digest": made.wording_digest,
                    "rule": made.rule,
                    "max_risk": made.max_risk.value,
                    "allowed": made.allowed,
                    "expires_at": made.expires_at.isoformat(),
                    "channel": made.channel,
                    "assurance": made.assurance.value,
                    "reason": made.reason,
                },
            )
            return made

        return await self._register.write(store)

    async def revoke(self, grant_id: str, *, actor: PersonRecord, reason: str | None = None) -> Grant:
        """End a grant at once. Anybody who may decide or administer may: it only makes people be asked again.

        Raises:
            UnknownGrant: there is none of this id in force.
            GrantNotAllowed: the actor neither decides nor administers.
        """
        check_text("reason", reason, MAX_REASON)
        if not {Role.APPROVER, Role.ADMIN} & set(actor.roles):
            raise GrantNotAllowed("Only an approver or an administrator may end a grant.")

        async def store(changing: Changing) -> Grant:
            rows = await changing.many(grants, grants.c.grant_id == _known(grant_id))
            if not rows or rows[0].revoked_at is not None or rows[0].expires_at <= changing.now:
                raise UnknownGrant(grant_id)
            await end_grant(
                changing,
                rows[0],
                actor=actor.person_id,
                because=f"revoked: {reason}" if reason else "revoked",
            )
            return replace(grant_of(rows[0]), revoked_at=changing.now, revoked_by=actor.person_id)

        return await self._register.write(store)

    async def list(self, *, agent: str | None = None, over: bool = False) -> Sequence[Grant]:
        """Grants, those made last first; of one agent, and with those that are used up or over, if asked."""
        conditions: list[Any] = [] if agent is None else [grants.c.agent == _known(agent)]

        async def find(reading: Reading) -> list[Grant]:
            rows = await reading.many(grants, *conditions, order_by=grants.c.created_at.desc())
            return [grant_of(row) for row in rows]

        now = self._register.clock.now()
        found = await self._register.read(find)
        return [grant for grant in found if over or grant.is_live(now)][:_LISTED]

    async def get(self, grant_id: str) -> tuple[Grant, Sequence[GrantUse]]:
        """A grant, in force or not, and its uses, oldest first. Raises UnknownGrant."""

        async def find(reading: Reading) -> tuple[Grant, Sequence[GrantUse]]:
            rows = await reading.many(grants, grants.c.grant_id == _known(grant_id))
            if not rows:
                raise UnknownGrant(grant_id)
            uses = await reading.many(
                grant_uses, grant_uses.c.grant_id == grant_id, order_by=grant_uses.c.number
            )
            return grant_of(rows[0]), [use_of(each) for each in uses]

        return await self._register.read(find)

    async def _refuse_drill(self, form: GrantForm, confirmation: Confirmation) -> None:
        """A drill is allowed to nobody. Who wanted to allow it for the future has approved it."""
        record = await self._find(form.request_id)
        if record.request.kind is not RequestKind.CANARY:
            return
        if self._decide is not None:
            record = await self._decide(
                DecisionInput(
                    request_id=form.request_id,
                    person=form.person,
                    verdict=Verdict.APPROVE,
                    reason=form.reason,
                    channel=confirmation.channel,
                    assurance=confirmation.assurance,
                    action_digest=form.action_digest,
                    evidence=confirmation.evidence,
                )
            )
        raise GrantRefused("request", f"cannot be allowed. {record.request.drill_notice or ''}".rstrip())

    async def _person_for(self, request: ApprovalRequest, person: str) -> str:
        now = self._register.clock.now()
        capacity = await self._people.capacity(
            person,
            at=now,
            agent=request.agent,
            action_type=request.action.type,
            risk=request.risk_level,
            request_id=request.request_id,
        )
        if capacity is not None:
            groups = acting_as(capacity, request.terms).groups
            if fills_its_seat(request, capacity.person_id, groups, capacity):
                return capacity.person_id
        raise GrantNotAllowed(
            f"Only somebody whose own approval the rule {request.policy} asks for may allow this in advance."
        )


def _require_grantable(request: ApprovalRequest, sealer: Sealer) -> None:
    if not sealer.request_holds(request):
        raise SealBroken(request.request_id, "the request's seal does not hold")
    if request.kind is RequestKind.QUESTION or request.verdict is not RuleVerdict.ASK:
        raise GrantRefused("request", "is none that people are asked to approve")
    if request.is_granted:
        raise GrantRefused("request", "was covered by a grant; people were not asked about it")
    if request.revision:
        raise GrantRefused("request", "was edited; allow the wording that the agent itself asks for")
    if request.status not in {RequestStatus.PENDING, RequestStatus.APPROVED} or request.revoked_at:
        raise GrantRefused("request", f"is {request.status.value}, and not one that is wanted")


def _require_bounds(form: GrantForm, request: ApprovalRequest) -> None:
    check_text("reason", form.reason, MAX_REASON)
    if not 1 <= form.uses <= MAX_USES:
        raise GrantRefused("uses", f"is {form.uses}; 1 to {MAX_USES} are allowed")
    if form.max_risk is RiskLevel.CRITICAL:
        raise GrantRefused("max_risk", "is critical; what is critical is always asked about")
    if request.risk_level.rank > form.max_risk.rank:
        raise GrantRefused(
            "max_risk",
            f"is {form.max_risk.value}, and the request itself is of {request.risk_level.value} risk",
        )


async def _require_room(changing: Changing, grant: Grant) -> None:
    count = select(func.count()).where(
        grants.c.agent == grant.agent,
        grants.c.expires_at > changing.now,
        grants.c.revoked_at.is_(None),
        grants.c.used < grants.c.allowed,
    )
    if ((await changing.connection.execute(count)).scalar_one()) >= MAX_LIVE:
        raise GrantRefused("agent", f"{grant.agent} has {MAX_LIVE} grants in force; revoke some first")


def _known(name: str) -> str:
    # PostgreSQL refuses to be asked about such a text; nothing has it as its name.
    return name if name.isascii() and "\x00" not in name else ""
