"""Using up an approved request: by collecting its token, or by carrying its action out oneself.

The two exclude each other: an approval is good for one of them, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.audit_chain import AuditEntry
from hitl_contract.capability import DEFAULT_LIFETIME_SECONDS
from hitl_mcp.approvals import events
from hitl_mcp.approvals.capacity import Capacity
from hitl_mcp.approvals.eligibility import capacity_for
from hitl_mcp.approvals.errors import AlreadySpent, ApprovalExpired, RequestNotFound, SealBroken
from hitl_mcp.approvals.grants import GrantEvidence
from hitl_mcp.approvals.models import IssuedToken, RequestRecord, RequestStatus
from hitl_mcp.approvals.ports import ApprovalPorts
from hitl_mcp.approvals.proof import ProvenApproval, prove
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.approvals.recording import Recorder
from hitl_mcp.approvals.spending import SpentApproval

# Of other events an agent or a stranger can write any number about a request.
_EVIDENCE: Final = (
    events.CREATED,
    events.EDITED,
    events.ALLOWED_BY_RULE,
    events.DENIED_BY_RULE,
    events.APPROVED_BY_GRANT,
    events.UNSAFELY_APPROVED_BY_TIMEOUT,
    events.DECIDED,
    events.TIMED_OUT,
    events.CANCELLED,
    events.REVOKED,
    events.CANARY_FILED,
    events.SPENT,
    events.TOKEN_MINTED,
    events.TOKEN_REFUSED,
)


@dataclass(frozen=True, slots=True)
class _Lifetime:
    """From when to when a token is good, in POSIX seconds."""

    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class _Standing:
    """What those who approved may do now, and the grant that approved as it is now."""

    capacities: Mapping[str, Capacity]
    granted: GrantEvidence | None


class TokenCollection:
    """Hands out tokens. Each one is audited before it leaves; the private key signs after the commit.

    While the last token issued still has a fifth of its life, collecting gives that same token again (EdDSA
    signs the same claims to the same bytes), so that an agent may poll without a write each time.
    """

    def __init__(
        self,
        ports: ApprovalPorts,
        recorder: Recorder,
        *,
        validity: timedelta,
        lifetime_seconds: int = DEFAULT_LIFETIME_SECONDS,
    ) -> None:
        self._ports = ports
        self._recorder = recorder
        self._validity = validity
        self._lifetime_seconds = lifetime_seconds

    async def collect(self, agent: str, request_id: str) -> IssuedToken:
        """Raises RequestNotFound, NotApproved, Revoked, AlreadySpent, ApprovalExpired, NotEligible,
        SealBroken.
        """

        async def read(connection: AsyncConnection) -> tuple[RequestRecord, Sequence[AuditEntry]]:
            return await self._evidence(connection, agent, request_id)

        record, trail = await self._ports.database.read(read)
        standing = await self._standing(record, trail)
        try:
            issued = None
            if record.request.token_id is not None or record.request.status is not RequestStatus.APPROVED:
                # The transaction that records a first token proves the approval itself.
                issued = self._again(self._prove(record, trail, standing), trail)
            approval, lifetime = issued or await self._issue(agent, request_id, standing)
        except SealBroken as broken:
            await self._record_refusal(agent, broken, trail)
            raise
        return self._ports.minter.mint(approval, issued_at=lifetime.issued_at, expires_at=lifetime.expires_at)

    async def spend(self, agent: str, request_id: str, use: str) -> SpentApproval:
        """Use an approval up for one act that the agent's own side carries out; durable before it returns.

        `use` names the act. The same use again is told the same, with `first` False, and may not act again.

        Raises RequestNotFound, NotApproved, Revoked, ApprovalExpired, NotEligible, SealBroken, AlreadySpent.
        """

        async def read(connection: AsyncConnection) -> tuple[RequestRecord, Sequence[AuditEntry]]:
            return await self._evidence(connection, agent, request_id)

        standing = await self._standing(*await self._ports.database.read(read))

        async def operation(connection: AsyncConnection) -> SpentApproval:
            record, trail = await self._evidence(connection, agent, request_id)
            earlier = _use_of(trail)
            if earlier is not None:
                if earlier != use:
                    raise AlreadySpent(request_id, earlier)
                return SpentApproval(record.request, use, first=False)
            approval = self._prove(record, trail, standing)
            if approval.request.token_id is not None:
                raise AlreadySpent(request_id, None)
            stored = await self._recorder.change(
                connection,
                approval.request,
                event=events.SPENT,
                actor=events.agent_actor(agent),
                details={"use": use, "action_digest": approval.request.action_digest},
                notification=None,
            )
            await self._ports.store.detach(connection, request_id)
            return SpentApproval(stored, use, first=True)

        return await self._ports.database.write(operation)

    async def _issue(
        self, agent: str, request_id: str, standing: _Standing
    ) -> tuple[ProvenApproval, _Lifetime]:
        async def operation(connection: AsyncConnection) -> tuple[ProvenApproval, _Lifetime]:
            record, trail = await self._evidence(connection, agent, request_id)
            approval = self._prove(record, trail, standing)
            issued = self._again(approval, trail)
            if issued is not None:
                return issued
            lifetime = self._new_lifetime(approval)
            await self._record_issue(connection, approval, lifetime)
            return approval, lifetime

        return await self._ports.database.write(operation)

    async def _record_issue(
        self, connection: AsyncConnection, approval: ProvenApproval, lifetime: _Lifetime
    ) -> None:
        request = approval.request
        actor = events.agent_actor(request.agent)
        details = {
            "token_id": approval.token_id,
            "action_digest": request.action_digest,
            "issued_at": lifetime.issued_at,
            "expires_at": lifetime.expires_at,
        }
        if request.token_id is None:
            await self._recorder.change(
                connection,
                replace(request, token_id=approval.token_id),
                event=events.TOKEN_MINTED,
                actor=actor,
                details=details,
                notification=None,
            )
        else:
            await self._ports.audit.append(
                connection, events.TOKEN_MINTED, actor=actor, subject=request.request_id, details=details
            )

    async def _evidence(
        self, connection: AsyncConnection, agent: str, request_id: str
    ) -> tuple[RequestRecord, Sequence[AuditEntry]]:
        record = await self._ports.store.load(connection, request_id)
        if record is None or not record.request.is_of(agent):
            raise RequestNotFound(request_id)
        return record, await self._ports.audit.about(connection, request_id, _EVIDENCE)

    async def _standing(self, record: RequestRecord, trail: Sequence[AuditEntry]) -> _Standing:
        request, now = record.request, self._ports.clock.now()
        granted = None
        if self._ports.grants is not None and any(e.event == events.APPROVED_BY_GRANT for e in trail):
            granted = await self._ports.grants.evidence(request.request_id)
        people = [decision.person for decision in record.standing]
        if granted is not None:
            people.append(granted.grant.person)
        capacities: dict[str, Capacity] = {}
        for person in people:
            capacity = await capacity_for(self._ports, request, person, now)
            if capacity is not None:
                capacities[person_key(person)] = capacity
        return _Standing(capacities, granted)

    def _prove(
        self, record: RequestRecord, trail: Sequence[AuditEntry], standing: _Standing
    ) -> ProvenApproval:
        earlier = _use_of(trail)
        if earlier is not None:
            raise AlreadySpent(record.request.request_id, earlier)
        return prove(
            record,
            trail,
            sealer=self._ports.sealer,
            capacities=standing.capacities,
            validity=self._validity,
            now=self._ports.clock.now(),
            granted=standing.granted,
        )

    def _new_lifetime(self, approval: ProvenApproval) -> _Lifetime:
        issued_at = int(self._ports.clock.now().timestamp())
        expires_at = min(issued_at + self._lifetime_seconds, int(approval.valid_until.timestamp()))
        if expires_at <= issued_at:
            raise ApprovalExpired(approval.request.request_id)
        return _Lifetime(issued_at, expires_at)

    def _again(
        self, approval: ProvenApproval, trail: Sequence[AuditEntry]
    ) -> tuple[ProvenApproval, _Lifetime] | None:
        """The approval and the lifetime of the last token issued, while enough of that is left."""
        minted = [entry.details for entry in trail if entry.event == events.TOKEN_MINTED]
        if not minted or approval.request.token_id is None:
            return None
        issued_at, expires_at = minted[-1].get("issued_at"), minted[-1].get("expires_at")
        if not isinstance(issued_at, int) or not isinstance(expires_at, int):
            return None
        now = self._ports.clock.now().timestamp()
        longest = min(issued_at + self._lifetime_seconds, int(approval.valid_until.timestamp()))
        fresh = now < expires_at - self._lifetime_seconds / 5
        if not (issued_at <= now and expires_at <= longest and fresh):
            return None
        return approval, _Lifetime(issued_at, expires_at)

    async def _record_refusal(self, agent: str, broken: SealBroken, trail: Sequence[AuditEntry]) -> None:
        # Once per request: an agent that polls must not be able to fill the log.
        if any(entry.event == events.TOKEN_REFUSED for entry in trail):
            return

        async def operation(connection: AsyncConnection) -> None:
            await self._ports.audit.append(
                connection,
                events.TOKEN_REFUSED,
                actor=events.agent_actor(agent),
                subject=broken.request_id,
                details={"reason": broken.detail},
            )

        await self._ports.database.write(operation)


def _use_of(trail: Sequence[AuditEntry]) -> str | None:
    """What the approval was spent on, as the audit trail has it."""
    spent = [entry.details.get("use") for entry in trail if entry.event == events.SPENT]
    return str(spent[0]) if spent else None
