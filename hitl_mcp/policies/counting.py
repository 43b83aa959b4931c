"""What rate and fatigue limits count: requests and approvals of the last hour, in the database."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

from sqlalchemy import bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.models import RequestKind, Verdict
from hitl_mcp.storage.schema.approvals import decisions, requests
from server_kit.database.base import Database

WINDOW: Final = timedelta(hours=1)


_PER_PERSON: Final = (
    select(func.count().label("approvals"))
    .select_from(decisions)
    .join(requests, requests.c.request_id == decisions.c.request_id)
    .where(
        decisions.c.decided_at >= bindparam("since"),
        decisions.c.verdict == Verdict.APPROVE.value,
        requests.c.kind == RequestKind.ACTION.value,
    )
    .group_by(decisions.c.person_key)
    .subquery()
)
_BUSIEST: Final = select(func.max(_PER_PERSON.c.approvals))


class Counter(Protocol):
    """Counts for limits. Whoever asks takes an error for a limit that is reached."""

    async def requests(self, agent: str, rule: str, *, since: datetime, most: int) -> int:
        """How many requests this agent made under this rule since then; counted up to `most`."""
        ...

    async def busiest_approver(self, *, since: datetime) -> int:
        """The most approvals that one person has given since then."""
        ...


class NothingCounted:
    """Implements `Counter` where there is no database, as for `hitl policy test`: no limit is reached."""

    async def requests(self, agent: str, rule: str, *, since: datetime, most: int) -> int:  # noqa: ARG002 - the port's signature
        return 0

    async def busiest_approver(self, *, since: datetime) -> int:  # noqa: ARG002 - the port's signature
        return 0


class SqlCounter:
    """Implements `Counter` over the tables of requests and decisions.

    Two requests at the same moment do not see each other: a limit may be passed by as many as are asked at
    once. What people approved is counted at most every `recount_seconds`.
    """

    def __init__(self, database: Database, *, recount_seconds: float = 5.0) -> None:
        self._database = database
        self._recount_seconds = recount_seconds
        self._busiest: tuple[float, int] | None = None

    async def requests(self, agent: str, rule: str, *, since: datetime, most: int) -> int:
        found = (
            select(requests.c.request_id)
            .where(
                requests.c.agent == agent,
                requests.c.created_at >= since,
                requests.c.policy == rule,
                requests.c.kind == RequestKind.ACTION.value,
            )
            .limit(most)
            .subquery()
        )

        async def operation(connection: AsyncConnection) -> int:
            return int((await connection.execute(select(func.count()).select_from(found))).scalar_one())

        return await self._database.read(operation)

    async def busiest_approver(self, *, since: datetime) -> int:
        now = asyncio.get_running_loop().time()
        if self._busiest is None or now >= self._busiest[0]:
            count = await self._database.read(partial(_busiest_approver, since=since))
            self._busiest = (now + self._recount_seconds, count)
        return self._busiest[1]


async def _busiest_approver(connection: AsyncConnection, *, since: datetime) -> int:
    return int((await connection.execute(_BUSIEST, {"since": since})).scalar_one_or_none() or 0)
