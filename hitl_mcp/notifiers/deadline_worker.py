"""Sleeps until the next deadline is due, and then has it worked.

Deadlines are times of day, and the sleeping is the machine's monotonic clock's: so no sleep is longer than a
second before the time of day is looked at again, which costs nothing, and a clock that is set forward makes
nothing later than that. The database is asked when something is due, when a deadline was stored that is due
soon, when the clock was set, and twice a minute for what was stored to be due later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

from hitl_mcp.approvals.events import DEADLINES_ASKED_AFTER, DEADLINES_KEY
from server_kit.clock import Clock
from server_kit.database.base import ChangeFeed, Watch
from server_kit.errors import ServerError

_log = logging.getLogger(__name__)

_LOOK_AT_CLOCK_SECONDS: Final = 1.0
_CLOCK_WAS_SET_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 1.0
STANDBY: Final = timedelta(seconds=0.5)


class Deadlines(Protocol):
    """Works what is due; implemented by `approvals.service.ApprovalService`."""

    async def run_deadlines(self, *, now: datetime) -> int: ...

    async def next_deadline(self) -> datetime | None: ...


class DeadlineWorker:
    """Any number of processes may run one. A process that does not lead leaves the leader half a second."""

    def __init__(
        self, *, deadlines: Deadlines, changes: ChangeFeed, clock: Clock, leads: Callable[[], bool]
    ) -> None:
        self._deadlines = deadlines
        self._changes = changes
        self._clock = clock
        self._leads = leads

    async def run(self) -> None:
        """Work until cancelled; outlasts every failure."""
        async with self._changes.watch(DEADLINES_KEY, unhurried=True) as watch:
            while True:
                try:
                    await self._deadlines.run_deadlines(now=self._now())
                    next_due = await self._deadlines.next_deadline()
                except ServerError as error:
                    _log.warning("deadlines wait: %s", error)
                    await asyncio.sleep(_PAUSE_SECONDS)
                except Exception as error:
                    # People can still decide; the timer comes back by itself.
                    _log.exception("deadlines failed: %s", type(error).__name__)
                    await asyncio.sleep(_PAUSE_SECONDS)
                else:
                    await self._sleep(watch, next_due)

    async def _sleep(self, watch: Watch, next_due: datetime | None) -> None:
        loop = asyncio.get_running_loop()
        slept_from, slept_since = self._clock.now(), loop.time()
        while True:
            slept = loop.time() - slept_since
            left = DEADLINES_ASKED_AFTER.total_seconds() - slept
            if next_due is not None:
                left = min(left, (next_due - self._now()).total_seconds())
            clock_was_set = (
                abs((self._clock.now() - slept_from).total_seconds() - slept) > _CLOCK_WAS_SET_SECONDS
            )
            if left <= 0 or clock_was_set or await watch.wait(min(left, _LOOK_AT_CLOCK_SECONDS)):
                return

    def _now(self) -> datetime:
        """The time up to which deadlines are this process's to work."""
        return self._clock.now() - (timedelta(0) if self._leads() else STANDBY)
