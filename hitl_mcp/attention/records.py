"""Reads what attention is measured by from the tables of requests, decisions and notifications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import RowMapping, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.models import RequestKind, RequestStatus, Verdict
from hitl_mcp.approvals.ports import NotificationKind
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.attention.measure import Attention, JudgedDecision, ReadingSpeed, Withdrawal, measured
from hitl_mcp.storage.schema import actions, decisions, outbox, requests
from server_kit.clock import Clock
from server_kit.database.base import Database

DEFAULT_DAYS: Final = 30
MAX_DAYS: Final = 366

# When the channel over which somebody decided had told people of the request.
_TOLD: Final = (
    select(func.min(outbox.c.delivered_at))
    .where(
        outbox.c.request_id == decisions.c.request_id,
        outbox.c.channel == decisions.c.channel,
        outbox.c.kind == NotificationKind.CREATED.value,
    )
    .correlate(decisions)
    .scalar_subquery()
)
_DECISIONS: Final = (
    select(
        decisions.c.person,
        decisions.c.verdict,
        decisions.c.decided_at,
        decisions.c.reviewed_from,
        decisions.c.revision,
        decisions.c.conditions,
        requests.c.kind,
        requests.c.created_at,
        (
            func.length(actions.c.canonical)
            + func.length(requests.c.justification)
            + func.coalesce(func.length(requests.c.summary), 0)
        ).label("characters"),
        _TOLD.label("told_at"),
    )
    .join(requests, requests.c.request_id == decisions.c.request_id)
    .join(actions, actions.c.digest == decisions.c.action_digest)
    .where(
        decisions.c.decided_at >= bindparam("since"),
        requests.c.kind.in_([RequestKind.ACTION.value, RequestKind.CANARY.value]),
    )
)
_WITHDRAWN: Final = select(requests.c.ended_by).where(
    requests.c.kind == RequestKind.CANARY.value,
    requests.c.status == RequestStatus.CANCELLED.value,
    requests.c.ended_by.is_not(None),
    requests.c.decided_at >= bindparam("since"),
)


@dataclass(frozen=True, slots=True)
class AttentionReport:
    """The measure of everybody who decided since `since`."""

    since: datetime
    days: int
    people: tuple[Attention, ...]


class AttentionRecords:
    """Measures attention whenever it is asked for; nothing is kept besides what is recorded anyway."""

    def __init__(self, database: Database, clock: Clock, speed: ReadingSpeed) -> None:
        self._database = database
        self._clock = clock
        self.speed = speed

    async def report(self, *, days: int = DEFAULT_DAYS, person: str | None = None) -> AttentionReport:
        """The last `days`; of one person, if one is named. Who decided nothing then is left out."""
        since = self._clock.now() - timedelta(days=days)

        async def operation(connection: AsyncConnection) -> tuple[Sequence[RowMapping], Sequence[str]]:
            made = (await connection.execute(_DECISIONS, {"since": since})).mappings().all()
            withdrawn = (await connection.execute(_WITHDRAWN, {"since": since})).scalars().all()
            return made, [str(each) for each in withdrawn]

        made, withdrawn = await self._database.read(operation)
        everybody = measured(map(_judged, made), self.speed, map(Withdrawal, withdrawn))
        if person is not None:
            everybody = tuple(each for each in everybody if person_key(each.person) == person_key(person))
        return AttentionReport(since, days, everybody)


def _judged(row: RowMapping) -> JudgedDecision:
    since: datetime = row["reviewed_from"] or row["created_at"]
    told_at: datetime | None = row["told_at"]
    if told_at is not None and since < told_at <= row["decided_at"]:
        since = told_at
    return JudgedDecision(
        person=row["person"],
        verdict=Verdict(row["verdict"]),
        kind=RequestKind(row["kind"]),
        decided_at=row["decided_at"],
        since=since,
        characters=row["characters"],
        rewritten=row["revision"] > 0 and row["conditions"] is None,
    )
