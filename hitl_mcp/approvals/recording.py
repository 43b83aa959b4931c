"""One change of a request, written as one: state, audit entry, outbox rows and the news to those who wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals import events
from hitl_mcp.approvals.canaries import Drill, ending_of, kind_commitment, notice_of
from hitl_mcp.approvals.deadlines import plan
from hitl_mcp.approvals.models import ApprovalRequest, RequestKind, RequestRecord, RequestStatus, Verdict
from hitl_mcp.approvals.ports import ApprovalPorts, NotificationKind
from hitl_mcp.approvals.state_machine import DeadlineReached, State, Transition, transition
from hitl_mcp.approvals.terms import OnTimeout, RuleVerdict


def state_of(request: ApprovalRequest) -> State:
    return State(request.status, request.expires_at, revoked=request.revoked_at is not None)


class Recorder:
    """Writes changes inside the caller's transaction."""

    def __init__(self, ports: ApprovalPorts, validity: timedelta) -> None:
        self._ports = ports
        self._validity = validity

    async def change(
        self,
        connection: AsyncConnection,
        changed: ApprovalRequest,
        *,
        event: str,
        actor: str,
        details: Mapping[str, JsonValue],
        notification: NotificationKind | None,
    ) -> ApprovalRequest:
        """Store `changed` as the next version of its request; return it with that version."""
        drill = await self._drill_ended_by(connection, changed, event, details)
        if drill is not None:
            changed = replace(changed, ended_reason=notice_of(*drill))
        stored = replace(changed, version=changed.version + 1)
        await self._ports.store.update(connection, stored)
        await self.announce(
            connection, stored, event=event, actor=actor, details=details, notification=notification
        )
        if drill is not None:
            await self._reveal(connection, stored, *drill, actor=actor)
        return stored

    async def _drill_ended_by(
        self,
        connection: AsyncConnection,
        changed: ApprovalRequest,
        event: str,
        details: Mapping[str, JsonValue],
    ) -> tuple[str, Drill | None] | None:
        """How a drill ends with this change, and which drill it was; None for every other request."""
        if changed.kind is not RequestKind.CANARY or not changed.status.is_terminal:
            return None
        if not self._ports.sealer.request_holds(changed):
            # Somebody made an agent's request look like a drill: nothing vouches for that.
            return None
        book = self._ports.canaries
        drill = None if book is None else await book.drill_of(connection, changed.request_id)
        return ending_of(changed, event, details), drill

    async def _reveal(
        self,
        connection: AsyncConnection,
        stored: ApprovalRequest,
        ending: str,
        drill: Drill | None,
        *,
        actor: str,
    ) -> None:
        request_id, salt = stored.request_id, self._ports.sealer.kind_salt(stored.request_id)
        await self._ports.audit.append(
            connection,
            events.CANARY_FILED,
            actor=events.CANARY_ACTOR,
            subject=request_id,
            details={
                "kind": stored.kind.value,
                "salt": salt,
                "kind_commitment": kind_commitment(salt, request_id, stored.kind),
                "filed_at": stored.created_at.isoformat(),
                "drill": None if drill is None else drill.name,
                "seal": stored.seal,
            },
        )
        await self._ports.audit.append(
            connection, ending, actor=actor, subject=request_id, details={"status": stored.status.value}
        )

    async def announce(
        self,
        connection: AsyncConnection,
        stored: ApprovalRequest,
        *,
        event: str,
        actor: str,
        details: Mapping[str, JsonValue],
        notification: NotificationKind | None,
    ) -> None:
        request_id = stored.request_id
        await self._ports.audit.append(connection, event, actor=actor, subject=request_id, details=details)
        if notification is not None:
            await self._ports.outbox.enqueue(connection, notification, request_id)
        await self._ports.database.changes.publish(connection, events.change_key(request_id))

    async def plan_deadlines(self, connection: AsyncConnection, request: ApprovalRequest) -> None:
        """Store when to look at a pending request; after a change of its terms, in place of the earlier plan.

        Whoever works deadlines is woken when one of these is due before they ask again anyway.
        """
        if request.status.is_terminal:
            return
        store = self._ports.store
        if request.version > 1:
            await store.drop_deadlines(connection, request.request_id)
        now = self._ports.clock.now()
        # What a change of terms finds in the past was told before it; an expiry is worked however late.
        expiry, *others = plan(request)
        planned = [expiry, *(each for each in others if request.version == 1 or each.due_at > now)]
        await store.add_deadlines(connection, planned)
        if min(each.due_at for each in planned) <= now + events.DEADLINES_ASKED_AFTER:
            await self._ports.database.changes.publish(connection, events.DEADLINES_KEY)

    async def time_out(
        self, connection: AsyncConnection, record: RequestRecord, now: datetime
    ) -> RequestRecord | None:
        """Record the end of a request whose time is up; None when it ended before or still has time.

        It is a timeout, or an approval where the terms say `UnsafeAutoApproveOnTimeout` and nobody denied.
        """
        request = record.request
        silence_approves = await self._silence_approves(connection, record)
        outcome = transition(state_of(request), DeadlineReached(silence_approves), now)
        if not isinstance(outcome, Transition):
            return None
        if outcome.state.status is RequestStatus.APPROVED:
            return replace(record, request=await self._approve_by_silence(connection, request, now))
        stored = await self.change(
            connection,
            replace(request, status=outcome.state.status, decided_at=now),
            event=events.TIMED_OUT,
            actor=events.DEADLINE_ACTOR,
            details={"expires_at": request.expires_at.isoformat(), "action_digest": request.action_digest},
            notification=NotificationKind.ENDED,
        )
        return replace(record, request=stored)

    async def _silence_approves(self, connection: AsyncConnection, record: RequestRecord) -> bool:
        request = record.request
        if not approves_by_silence(record) or not self._ports.sealer.request_holds(request):
            return False
        # A denial that is gone from the table is still in the log.
        trail = await self._ports.audit.about(connection, request.request_id, (events.DECIDED,))
        return all(entry.details.get("verdict") != Verdict.DENY.value for entry in trail)

    async def _approve_by_silence(
        self, connection: AsyncConnection, request: ApprovalRequest, now: datetime
    ) -> ApprovalRequest:
        return await self.change(
            connection,
            replace(
                request,
                status=RequestStatus.APPROVED,
                decided_at=now,
                valid_until=request.expires_at + self._validity,
            ),
            event=events.UNSAFELY_APPROVED_BY_TIMEOUT,
            actor=events.rule_actor(request.policy),
            details={
                "rule": request.policy,
                "on_timeout": request.terms.on_timeout.value,
                "expires_at": request.expires_at.isoformat(),
                "action_digest": request.action_digest,
                "seal": request.seal,
            },
            notification=NotificationKind.ENDED,
        )


def approves_by_silence(record: RequestRecord) -> bool:
    """Whether the end of its time approves this request: never when anybody denied it, in any wording."""
    request = record.request
    return (
        request.kind is RequestKind.ACTION
        and request.verdict is RuleVerdict.ASK
        and request.terms.on_timeout is OnTimeout.UNSAFE_AUTO_APPROVE
        and all(each.verdict is not Verdict.DENY for each in record.decisions)
    )
