"""One change of a request, written as one: state, audit entry, outbox rows and the news to those who wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals import events
from hitl_mcp.approvals.deadlines import plan
from hitl_mcp.approvals.models import ApprovalRequest, RequestRecord
from hitl_mcp.approvals.ports import ApprovalPorts, NotificationKind
from hitl_mcp.approvals.state_machine import DeadlineReached, State, Transition, transition


def state_of(request: ApprovalRequest) -> State:
    return State(request.status, request.expires_at, revoked=request.revoked_at is not None)


class Recorder:
    """Writes changes inside the caller's transaction."""

    def __init__(self, ports: ApprovalPorts) -> None:
        self._ports = ports

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
        stored = replace(changed, version=changed.version + 1)
        await self._ports.store.update(connection, stored)
        await self.announce(
            connection, stored, event=event, actor=actor, details=details, notification=notification
        )
        return stored

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

        Whoever works deadlines is woken when one of these comes before all others.
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
        first = await store.next_due(connection)
        await store.add_deadlines(connection, planned)
        if first is None or min(each.due_at for each in planned) < first:
            await self._ports.database.changes.publish(connection, events.DEADLINES_KEY)

    async def time_out(
        self, connection: AsyncConnection, record: RequestRecord, now: datetime
    ) -> RequestRecord | None:
        """Record the timeout of a request whose time is up; None when it ended before or still has time."""
        request = record.request
        outcome = transition(state_of(request), DeadlineReached(), now)
        if not isinstance(outcome, Transition):
            return None
        stored = await self.change(
            connection,
            replace(request, status=outcome.state.status, decided_at=now),
            event=events.TIMED_OUT,
            actor=events.DEADLINE_ACTOR,
            details={"expires_at": request.expires_at.isoformat(), "action_digest": request.action_digest},
            notification=NotificationKind.ENDED,
        )
        return replace(record, request=stored)
