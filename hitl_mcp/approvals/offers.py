"""Finding the grant that covers a new request.

Looked at only when a rule says ask: what a rule denies no grant allows. The request that a grant covers keeps
the terms of the rule; its policy names the grant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hitl_mcp.approvals.eligibility import acting_as, capacity_for
from hitl_mcp.approvals.grants import Grant, GrantOffer, fills_its_seat, why_not_covered
from hitl_mcp.approvals.models import ApprovalRequest, RequestKind, RequestStatus
from hitl_mcp.approvals.ports import ApprovalPorts, GrantUsing
from hitl_mcp.approvals.rulings import storable
from hitl_mcp.approvals.terms import RuleVerdict


class GrantOffers:
    def __init__(self, ports: ApprovalPorts, validity: timedelta) -> None:
        self._ports = ports
        self._validity = validity

    async def covering(self, request: ApprovalRequest) -> Sequence[GrantOffer]:
        """The grants that cover this new request, each with the request as it then is."""
        if self._ports.grants is None or not _asks_for_leave(request):
            return ()
        offers: list[GrantOffer] = []
        for grant in await self._ports.grants.live(request.agent):
            if grant.rule != request.policy or not grant.is_live(request.created_at):
                continue
            # A large action takes long to compare, and other callers should not wait for that.
            if await asyncio.to_thread(_uncovered, grant, request) is not None:
                continue
            offer = await self._offer(grant, request)
            if offer is not None:
                offers.append(offer)
        return offers

    async def _offer(self, grant: Grant, request: ApprovalRequest) -> GrantOffer | None:
        capacity = await capacity_for(self._ports, request, grant.person, request.created_at)
        if capacity is None:
            return None
        groups = acting_as(capacity, request.terms).groups
        if not fills_its_seat(request, grant.person, groups, capacity):
            return None
        return GrantOffer(grant, self._granted(grant, request), groups)

    def _granted(self, grant: Grant, request: ApprovalRequest) -> ApprovalRequest:
        until = f"{grant.expires_at:%Y-%m-%d %H:%M} UTC"
        granted = replace(
            request,
            status=RequestStatus.APPROVED,
            policy=grant.policy,
            explanation=storable(
                f"{grant.person} allowed this shape in advance, {grant.allowed} times until {until}. Without "
                f"that, the rule {grant.rule} asks: {request.explanation}"
            ),
            decided_at=request.created_at,
            valid_until=min(request.created_at + self._validity, grant.expires_at),
            ended_by=grant.person,
            seal="",
        )
        return replace(granted, seal=self._ports.sealer.seal_request(granted))


async def first_usable(using: GrantUsing, offers: Sequence[GrantOffer]) -> GrantOffer | None:
    """The first whose grant has a use left in this transaction; None when others were faster."""
    for offer in offers:
        if await using.usable(offer.grant):
            return offer
    return None


def _asks_for_leave(request: ApprovalRequest) -> bool:
    return request.verdict is RuleVerdict.ASK and request.kind is RequestKind.ACTION


def _uncovered(grant: Grant, request: ApprovalRequest) -> str | None:
    return why_not_covered(
        grant, agent=request.agent, action=request.action, risk=request.risk_level, terms=request.terms
    )
