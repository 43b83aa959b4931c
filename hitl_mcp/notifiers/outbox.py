"""The transactional outbox: news that is owed to channels, written together with what it tells about.

A row says only that a request changed; what a card then shows is read when the row is worked. So rows may
be worked late, twice or out of order, and the newest one settles all older ones of its request and channel.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.ports import AuditTrail, NotificationKind
from hitl_mcp.storage.schema import outbox
from server_kit.clock import Clock
from server_kit.database.base import Database

CHANGE_KEY = "outbox"
DISPATCHER_ACTOR = "system:dispatcher"
UNDELIVERED = "notification.undelivered"
_CALLS = tuple(kind.value for kind in NotificationKind if kind.calls)


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with jitter, up to a bound. The defaults try for about two hours."""

    max_attempts: int = 24
    first_pause: timedelta = timedelta(milliseconds=500)
    longest_pause: timedelta = timedelta(minutes=10)

    def pause(self, attempts: int) -> timedelta:
        """How long to wait after `attempts` failures: from half of the full pause to all of it."""
        full = min(self.longest_pause, self.first_pause * 2 ** min(attempts - 1, 30))
        return full * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, hides nothing


@dataclass(frozen=True)
class OwedNews:
    """All open rows of one request in one channel; `newest_id` is the last of them.

    `call` is the id of the last that calls people, None when none does.
    """

    request_id: str
    channel: str
    newest_id: int
    attempts: int
    call: int | None = None


@dataclass(frozen=True)
class DeadLetter:
    """News that was given up."""

    request_id: str
    channel: str
    attempts: int
    error: str
    dead_at: datetime


class SqlOutbox:
    """The `outbox` table. Implements `approvals.ports.Outbox`.

    `delays` says how long a channel leaves a new request to the others; it is told then if nobody decided
    meanwhile, and at once when people are called.
    """

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        channels: Sequence[str],
        audit: AuditTrail,
        delays: Mapping[str, timedelta] | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._channels = tuple(channels)
        self._audit = audit
        self._delays = {channel: delay for channel, delay in (delays or {}).items() if delay}

    async def enqueue(self, connection: AsyncConnection, kind: NotificationKind, request_id: str) -> None:
        """Owe every configured channel this news, in the caller's transaction."""
        if not self._channels:
            return
        now = self._clock.now()
        row = {"kind": kind.value, "request_id": request_id, "created_at": now, "due_at": now}
        later = await self._later(connection, kind, request_id, now)
        rows = [{**row, "channel": channel, "due_at": later.get(channel, now)} for channel in self._channels]
        await connection.execute(insert(outbox), rows)
        await self._database.changes.publish(connection, CHANGE_KEY)

    async def _later(
        self, connection: AsyncConnection, kind: NotificationKind, request_id: str, now: datetime
    ) -> Mapping[str, datetime]:
        """The channels that this news waits for, and until when."""
        if not self._delays or kind is NotificationKind.ENDED or kind.calls:
            return {}
        if kind is NotificationKind.CREATED:
            return {channel: now + delay for channel, delay in self._delays.items()}
        # A change, such as one approval of two, does not make a channel's turn come sooner.
        waiting = (
            select(outbox.c.channel, func.max(outbox.c.due_at))
            .where(
                outbox.c.request_id == request_id,
                outbox.c.channel.in_(list(self._delays)),
                outbox.c.delivered_at.is_(None),
                outbox.c.kind == NotificationKind.CREATED.value,
                outbox.c.attempts == 0,
                outbox.c.due_at > now,
            )
            .group_by(outbox.c.channel)
        )
        return {row[0]: row[1] for row in (await connection.execute(waiting)).all()}

    async def due(self, channel: str, limit: int = 64) -> tuple[OwedNews, ...]:
        """Requests with news due in `channel`, the longest waiting first."""
        query = (
            select(
                outbox.c.request_id,
                func.max(outbox.c.id),
                func.max(outbox.c.attempts),
                func.max(case((outbox.c.kind.in_(_CALLS), outbox.c.id))),
            )
            .where(_open(channel), outbox.c.due_at <= self._clock.now())
            .group_by(outbox.c.request_id)
            .order_by(func.min(outbox.c.due_at))
            .limit(limit)
        )

        async def operation(connection: AsyncConnection) -> tuple[OwedNews, ...]:
            rows = (await connection.execute(query)).all()
            return tuple(OwedNews(row[0], channel, row[1], row[2], row[3]) for row in rows)

        return await self._database.read(operation)

    async def next_due(self, channel: str) -> datetime | None:
        """When the next news of `channel` is due; may have passed already."""

        async def operation(connection: AsyncConnection) -> datetime | None:
            query = select(outbox.c.due_at).where(_open(channel)).order_by(outbox.c.due_at).limit(1)
            return (await connection.execute(query)).scalar_one_or_none()

        return await self._database.read(operation)

    async def settle(self, news: OwedNews) -> None:
        """The channel shows the request at least as it was when `news` was read."""
        await self._change(news, delivered_at=self._clock.now(), last_error=None)

    async def retry_later(
        self, news: OwedNews, *, error: str, pause: timedelta, counted: bool = True
    ) -> None:
        """Try again after `pause`; `counted` is False where the service only asked to slow down."""
        attempts = outbox.c.attempts + (1 if counted else 0)
        await self._change(news, due_at=self._clock.now() + pause, attempts=attempts, last_error=error[:500])

    async def defer(self, news: OwedNews, until: datetime) -> None:
        """Work this news then, in whichever process dispatches by that time."""
        await self._change(news, due_at=until)

    async def give_up(self, news: OwedNews, *, error: str) -> None:
        """Make `news` a dead letter, and put on record that nobody was told in this channel."""

        async def operation(connection: AsyncConnection) -> None:
            values = {"dead_at": self._clock.now(), "last_error": error[:500]}
            await connection.execute(
                update(outbox).where(_owed(news)).values(attempts=outbox.c.attempts + 1, **values)
            )
            await self._audit.append(
                connection,
                UNDELIVERED,
                actor=DISPATCHER_ACTOR,
                subject=news.request_id,
                details={"channel": news.channel, "attempts": news.attempts + 1, "error": error[:500]},
            )

        await self._database.write(operation)

    async def dead_letters(self, limit: int = 50) -> tuple[DeadLetter, ...]:
        """What was given up, the newest first: for `doctor`, the dashboard and metrics."""
        query = select(outbox).where(outbox.c.dead_at.is_not(None)).order_by(outbox.c.id.desc()).limit(limit)

        async def operation(connection: AsyncConnection) -> tuple[DeadLetter, ...]:
            rows = (await connection.execute(query)).all()
            return tuple(
                DeadLetter(row.request_id, row.channel, row.attempts, row.last_error or "", row.dead_at)
                for row in rows
            )

        return await self._database.read(operation)

    async def _change(self, news: OwedNews, **values: object) -> None:
        async def operation(connection: AsyncConnection) -> None:
            await connection.execute(update(outbox).where(_owed(news)).values(**values))

        await self._database.write(operation)


def _open(channel: str) -> ColumnElement[bool]:
    return and_(outbox.c.delivered_at.is_(None), outbox.c.dead_at.is_(None), outbox.c.channel == channel)


def _owed(news: OwedNews) -> ColumnElement[bool]:
    return and_(_open(news.channel), outbox.c.request_id == news.request_id, outbox.c.id <= news.newest_id)
