"""Files a drill now and then, at a time that nobody can foresee.

Any number of processes may do this: whoever moves the one row of the schedule on, in the transaction that
stores the request, is the one. A drill is filed, in this order, only when

1. its time has come;
2. people are at work: somebody has decided something within the last hour;
3. the rules ask people about it;
4. nobody it is put before has had as many within a week as are allowed.

What keeps it from being filed puts it off; nothing is made up for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from secrets import SystemRandom
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.canaries import CanaryDesk, Drill
from hitl_mcp.approvals.models import ApprovalRequest, Submission
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.approvals.terms import Terms
from hitl_mcp.attention.canary_store import SqlCanaries
from hitl_mcp.attention.drills import EXERCISES, made_up_agent
from hitl_mcp.attention.settings import CanarySettings
from server_kit.clock import Clock
from server_kit.errors import ServerError

_log = logging.getLogger(__name__)

WEEK: Final = timedelta(days=7)
AT_WORK: Final = timedelta(hours=1)
_WAITS_FOR_PEOPLE: Final = timedelta(minutes=20)
_WAITS_FOR_ROOM: Final = timedelta(hours=12)
_LONGEST_SLEEP_SECONDS: Final = 300.0
_PAUSE_SECONDS: Final = 30.0

Members = Callable[[str], Awaitable[Collection[str]]]
AgentNames = Callable[[], Awaitable[Collection[str]]]


@dataclass(frozen=True, slots=True)
class _Turn:
    """One attempt to file one drill. Implements `approvals.canaries.CanaryDesk`."""

    store: SqlCanaries
    drill: Drill
    asked: frozenset[str]
    due_at: datetime
    later: datetime

    async def may_file(self, connection: AsyncConnection) -> bool:
        return await self.store.move(connection, self.due_at, self.later)

    async def filed(self, connection: AsyncConnection, request: ApprovalRequest) -> None:
        await self.store.keep(connection, request.request_id, self.drill, self.asked, request.created_at)


class CanaryFiling:
    """`members` says who is in a group, `agents` which names agents have."""

    def __init__(
        self,
        service: ApprovalService,
        store: SqlCanaries,
        *,
        members: Members,
        agents: AgentNames,
        clock: Clock,
        settings: CanarySettings,
        random: Random | None = None,
    ) -> None:
        self._service = service
        self._store = store
        self._members = members
        self._agents = agents
        self._clock = clock
        self._settings = settings
        self._random = random or SystemRandom()

    async def run(self) -> None:
        """File drills until cancelled; returns at once where there are none to be."""
        while self._settings.per_week:
            try:
                await self.work()
                due_at = await self._store.next_due()
            except ServerError as error:
                _log.warning("drills wait: %s", error)
                due_at = None
            except Exception as error:
                _log.exception("drills failed: %s", type(error).__name__)
                due_at = None
            left = _PAUSE_SECONDS if due_at is None else (due_at - self._clock.now()).total_seconds()
            await asyncio.sleep(min(max(left, 1.0), _LONGEST_SLEEP_SECONDS))

    async def work(self) -> bool:
        """File the drill whose time has come; whether this process did."""
        now = self._clock.now()
        due_at = await self._store.next_due()
        if due_at is None:
            await self._store.begin(now + self._pause())
            return False
        if now < due_at:  # 1
            return False
        if not await self._store.people_at_work(now - AT_WORK):  # 2
            await self._store.postpone(due_at, now + self._about(_WAITS_FOR_PEOPLE))
            return False
        busy = await self._busy(now)
        refused = 0
        for exercise in self._random.sample(EXERCISES, len(EXERCISES)):
            drafted = await self._draft(exercise.submission(self._random))
            if drafted is None:  # 3
                refused += 1
                continue
            asked = await self._asked(drafted.terms)
            if not asked or asked & busy:  # 4
                continue
            turn: CanaryDesk = _Turn(self._store, exercise.drill, asked, due_at, now + self._pause())
            return await self._service.file_canary(drafted, turn)
        if refused == len(EXERCISES):
            _log.warning("no drill can be filed: the rules ask people about none of them")
        await self._store.postpone(due_at, now + self._about(_WAITS_FOR_ROOM))
        return False

    async def _draft(self, submission: Submission) -> ApprovalRequest | None:
        agent = await self._agent()
        return None if agent is None else await self._service.draft_canary(agent, submission)

    async def _agent(self) -> str | None:
        if self._settings.agents:
            return self._random.choice(self._settings.agents)
        taken = {name.casefold() for name in await self._agents()}
        names = (made_up_agent(self._random) for _ in range(100))
        return next((name for name in names if name.casefold() not in taken), None)

    async def _asked(self, terms: Terms) -> frozenset[str]:
        """The keys of all whom a request on these terms is put before, later levels included."""
        groups = {quorum.group for stage in terms.stages for quorum in stage.quorums}
        groups |= {group for level in terms.escalation for group in level.groups}
        people = {person for level in terms.escalation for person in level.people}
        for group in groups:
            people |= set(await self._members(group))
        return frozenset(map(person_key, people)) - set(terms.excluded)

    async def _busy(self, now: datetime) -> frozenset[str]:
        """Those who have had all the drills of a week."""
        had: dict[str, int] = {}
        for asked in await self._store.asked_since(now - WEEK):
            for person in asked:
                had[person] = had.get(person, 0) + 1
        return frozenset(person for person, count in had.items() if count >= self._settings.per_week)

    def _pause(self) -> timedelta:
        return self._about(WEEK / self._settings.per_week)

    def _about(self, length: timedelta) -> timedelta:
        """From half of it to one and a half."""
        return length * self._random.uniform(0.5, 1.5)
