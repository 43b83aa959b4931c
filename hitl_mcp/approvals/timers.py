"""Works deadlines: whichever process takes a row that is due does what it says, in one transaction with it.

Requests whose time is up together are ended together, up to 128 in one transaction.

A row is removed in the transaction that has its effect. So of several processes that work the same row one
has the effect, and one that is killed in the middle leaves the row to the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals import events
from hitl_mcp.approvals.deadlines import Deadline, DeadlineKind, Effect, Firing, firing, postponed
from hitl_mcp.approvals.models import RequestRecord
from hitl_mcp.approvals.ports import ApprovalPorts, NotificationKind
from hitl_mcp.approvals.recording import Recorder
from server_kit.errors import ServerError

_log = logging.getLogger(__name__)

_AT_ONCE: Final = 128


class Timers:
    def __init__(self, ports: ApprovalPorts, recorder: Recorder) -> None:
        self._ports = ports
        self._recorder = recorder

    async def run(self, now: datetime) -> int:
        """Work everything that is due at `now`, the longest due first; return how many requests expired.

        One that cannot be worked is tried again later and keeps no other from being worked. Raises
        ServerError when nothing can be worked.
        """
        expired = 0
        while due := await self._due(now):
            ends = [each for each in due if each.kind is DeadlineKind.EXPIRY]
            expired += await self._end_together(ends, now)
            others = [each for each in due if each.kind is not DeadlineKind.EXPIRY]
            expired += sum(await asyncio.gather(*(self._work(each, now) for each in others)))
        return expired

    async def _end_together(self, ends: Sequence[Deadline], now: datetime) -> int:
        """End many requests in one transaction, each with its own entry and news; one that cannot be worked
        undoes it, and then each is worked by itself.
        """
        if len(ends) > 1:
            try:
                return await self._end_all([each.request_id for each in ends], now)
            except Exception as error:
                _log.warning("%d expiries are worked one by one: %s", len(ends), type(error).__name__)
        return sum(await asyncio.gather(*(self._work(each, now) for each in ends)))

    async def _end_all(self, request_ids: Sequence[str], now: datetime) -> int:
        async def operation(connection: AsyncConnection) -> int:
            store, name = self._ports.store, DeadlineKind.EXPIRY.value
            taken = await store.take_all(connection, name, request_ids, now)
            records = {each.request.request_id: each for each in await store.load_all(connection, taken)}
            ended = 0
            for request_id in taken:
                deadline = Deadline(request_id, name, now)
                ended += await self._act(connection, records.get(request_id), deadline, now)
            return ended

        return await self._ports.database.write(operation)

    async def next_due(self) -> datetime | None:
        """When the next deadline is due; None when there is none."""
        return await self._ports.database.read(self._ports.store.next_due)

    async def _due(self, now: datetime) -> Sequence[Deadline]:
        async def operation(connection: AsyncConnection) -> Sequence[Deadline]:
            return await self._ports.store.due(connection, now, _AT_ONCE)

        return await self._ports.database.read(operation)

    async def _work(self, deadline: Deadline, now: datetime) -> bool:
        try:
            return await self._fire(deadline, now)
        except ServerError:
            raise
        except Exception as error:
            # A damaged request must not hold up all others. Only the type: the text may quote.
            _log.error(
                "%s of %s is tried again later: %s", deadline.name, deadline.request_id, type(error).__name__
            )
            await self._postpone(deadline, now)
            return False

    async def _fire(self, deadline: Deadline, now: datetime) -> bool:
        """Whether this ended the request; False too when somebody else worked the deadline."""

        async def operation(connection: AsyncConnection) -> bool:
            store = self._ports.store
            if not await store.take_deadline(connection, deadline, now):
                return False
            record = await store.load(connection, deadline.request_id)
            return await self._act(connection, record, deadline, now)

        return await self._ports.database.write(operation)

    async def _act(
        self, connection: AsyncConnection, record: RequestRecord | None, deadline: Deadline, now: datetime
    ) -> bool:
        store = self._ports.store
        if record is None or record.request.status.is_terminal:
            await store.drop_deadlines(connection, deadline.request_id)
            return False
        fired = firing(record.request, deadline, now)
        if fired.move_to is not None:
            await store.add_deadlines(connection, [replace(deadline, due_at=fired.move_to)])
        match fired.effect:
            case Effect.EXPIRE:
                return await self._recorder.time_out(connection, record, now) is not None
            case Effect.ESCALATE:
                await self._escalate(connection, record, deadline, fired)
            case Effect.CALL:
                await self._call(connection, record, deadline)
            case Effect.NOTHING:
                pass
        return False

    async def _escalate(
        self, connection: AsyncConnection, record: RequestRecord, deadline: Deadline, fired: Firing
    ) -> None:
        request = record.request
        level = request.terms.escalation[deadline.number - 1]
        # A new version: cards are redrawn when the request's version is not the one they show.
        await self._recorder.change(
            connection,
            request,
            event=events.ESCALATED,
            actor=events.DEADLINE_ACTOR,
            details={
                "level": deadline.number,
                "groups": list(level.groups),
                "people": list(level.people),
                "after_seconds": level.after_seconds,
                "action_digest": request.action_digest,
            },
            notification=NotificationKind.ESCALATED if fired.loud else NotificationKind.CHANGED,
        )

    async def _call(self, connection: AsyncConnection, record: RequestRecord, deadline: Deadline) -> None:
        request = record.request
        await self._recorder.announce(
            connection,
            request,
            event=events.REMINDED,
            actor=events.DEADLINE_ACTOR,
            details={"deadline": deadline.name, "action_digest": request.action_digest},
            notification=NotificationKind.REMINDED,
        )

    async def _postpone(self, deadline: Deadline, now: datetime) -> None:
        async def operation(connection: AsyncConnection) -> None:
            if await self._ports.store.take_deadline(connection, deadline, now):
                await self._ports.store.add_deadlines(connection, [postponed(deadline, now)])

        await self._ports.database.write(operation)
