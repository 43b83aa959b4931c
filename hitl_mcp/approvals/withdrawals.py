"""Ends that are no decision: cancelling, revoking, and time running out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.audit_chain import AuditEntry
from hitl_mcp.approvals import events
from hitl_mcp.approvals.errors import AlreadyEnded, NotApproved, NotEligible, RequestNotFound
from hitl_mcp.approvals.models import RequestRecord, RequestStatus
from hitl_mcp.approvals.ports import ApprovalPorts, NotificationKind, PersonRecord
from hitl_mcp.approvals.recording import Recorder, state_of
from hitl_mcp.approvals.state_machine import Cancel, Refusal, RefusalReason, Revoke, transition
from hitl_mcp.approvals.validation import MAX_REASON, check_text

_HANDED_OUT: Final = (events.TOKEN_MINTED, events.SPENT)


@dataclass(frozen=True, slots=True)
class _Canceller:
    name: str
    actor: str


class Withdrawals:
    def __init__(self, ports: ApprovalPorts, recorder: Recorder) -> None:
        self._ports = ports
        self._recorder = recorder

    async def cancel(
        self, request_id: str, *, agent: str | None, person: str | None, reason: str | None
    ) -> RequestRecord:
        """Withdraw a pending request, as its agent or as a person who may decide.

        Raises RequestNotFound, AlreadyEnded, NotEligible, InvalidSubmission.
        """
        check_text("reason", reason, MAX_REASON)
        canceller = await self._canceller(agent, person)

        async def operation(connection: AsyncConnection) -> RequestRecord | AlreadyEnded:
            record = await self._load(connection, request_id)
            request = record.request
            if agent is not None and not request.is_of(agent):
                raise RequestNotFound(request_id)
            now = self._ports.clock.now()
            outcome = transition(state_of(request), Cancel(), now)
            if isinstance(outcome, Refusal):
                if request.status is RequestStatus.CANCELLED and request.ended_by == canceller.name:
                    return record
                return AlreadyEnded(await self._recorder.time_out(connection, record, now) or record)
            stored = await self._recorder.change(
                connection,
                replace(
                    request,
                    status=outcome.state.status,
                    decided_at=now,
                    ended_by=canceller.name,
                    ended_reason=reason,
                ),
                event=events.CANCELLED,
                actor=canceller.actor,
                details={"reason": reason, "action_digest": request.action_digest},
                notification=NotificationKind.ENDED,
            )
            return replace(record, request=stored)

        result = await self._ports.database.write(operation)
        if isinstance(result, AlreadyEnded):
            # Raised only now: raising inside would roll back a timeout that was found due and recorded.
            raise result
        return result

    async def revoke(self, request_id: str, *, person: str, reason: str | None) -> RequestRecord:
        """Withdraw an approval: no token is issued for it any more. Revoking again changes nothing.

        Raises RequestNotFound, NotApproved, NotEligible, InvalidSubmission.
        """
        check_text("reason", reason, MAX_REASON)
        known = await self._eligible(person)

        async def operation(connection: AsyncConnection) -> RequestRecord:
            record = await self._load(connection, request_id)
            request = record.request
            now = self._ports.clock.now()
            outcome = transition(state_of(request), Revoke(), now)
            if isinstance(outcome, Refusal):
                if outcome.reason is RefusalReason.ALREADY_REVOKED:
                    return record
                raise NotApproved(request_id, request.status.value)
            stored = await self._recorder.change(
                connection,
                replace(request, revoked_at=now),
                event=events.REVOKED,
                actor=events.person_actor(known.person_id),
                details={"reason": reason, "action_digest": request.action_digest},
                notification=NotificationKind.CHANGED,
            )
            return replace(record, request=stored)

        return await self._ports.database.write(operation)

    async def revocation_notice(self, record: RequestRecord) -> str | None:
        """What revoking did and did not do, for people; None for a request that is not revoked."""
        request = record.request
        if request.revoked_at is None:
            return None

        async def read(connection: AsyncConnection) -> Sequence[AuditEntry]:
            return await self._ports.audit.about(connection, request.request_id, _HANDED_OUT)

        handed_out = await self._ports.database.read(read)
        if not handed_out:
            return "Revoked. No token was ever collected for it, so nothing ran under this approval."
        first = f"{datetime.fromisoformat(handed_out[0].at):%Y-%m-%d %H:%M:%S} UTC"
        if handed_out[0].event == events.SPENT:
            return f"Revoked. It was used at {first}: what the agent did under it is not undone."
        return (
            f"Revoked. A token was collected at {first}: the executor refuses it from now on, but what had "
            "begun before is not undone."
        )

    async def expire(self, request_id: str, now: datetime) -> bool:
        """Time a request out when its time is up at `now`; False when it ended before, or still has time."""

        async def operation(connection: AsyncConnection) -> bool:
            record = await self._ports.store.load(connection, request_id)
            if record is None or record.request.status.is_terminal:
                await self._ports.store.drop_deadlines(connection, request_id)
                return False
            return await self._recorder.time_out(connection, record, now) is not None

        return await self._ports.database.write(operation)

    async def _canceller(self, agent: str | None, person: str | None) -> _Canceller:
        if agent is not None and person is None:
            return _Canceller(agent, events.agent_actor(agent))
        if person is not None and agent is None:
            known = await self._eligible(person)
            return _Canceller(known.person_id, events.person_actor(known.person_id))
        raise ValueError("a request is cancelled by an agent or by a person, by exactly one of them")

    async def _eligible(self, person: str) -> PersonRecord:
        known = await self._ports.people.eligible(person)
        if known is None:
            raise NotEligible(f"{person[:80]!r} is not known here as somebody who may decide.")
        return known

    async def _load(self, connection: AsyncConnection, request_id: str) -> RequestRecord:
        record = await self._ports.store.load(connection, request_id)
        if record is None:
            raise RequestNotFound(request_id)
        return record
