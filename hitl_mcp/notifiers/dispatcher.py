"""One process at a time tells people and hears them; every process works deadlines.

Any number of servers may run on one database; the one that holds the lease dispatches. When it dies,
another takes over once the lease has run out, and others work the deadlines until then. A holder that was
only slow may then still finish a call it had begun: each such call is safe to repeat (see `delivery`), and
decisions go through the same state machine whoever brings them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from hitl_mcp.notifiers.base import DecisionInbox, Notifier
from hitl_mcp.notifiers.channel_worker import ChannelWorker
from hitl_mcp.notifiers.deadline_worker import Deadlines, DeadlineWorker
from hitl_mcp.notifiers.lease import Lease
from hitl_mcp.notifiers.outbox import DeadLetter
from server_kit.clock import Clock
from server_kit.database.base import ChangeFeed
from server_kit.errors import ServerError

_log = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0
_LONGEST_RESTART_SECONDS = 60.0


class Undelivered(Protocol):
    """Knows what was given up; implemented by `outbox.SqlOutbox`."""

    async def dead_letters(self, limit: int = 50) -> tuple[DeadLetter, ...]: ...


class _LeaseLost(Exception):
    """Another process may hold the lease now."""


class Dispatcher:
    """Runs the workers and receivers of all channels while it holds the lease."""

    def __init__(
        self,
        *,
        lease: Lease,
        clock: Clock,
        deadlines: Deadlines,
        changes: ChangeFeed,
        notifiers: Sequence[Notifier],
        workers: Sequence[ChannelWorker],
        inbox: DecisionInbox,
        outbox: Undelivered,
    ) -> None:
        self._lease = lease
        self._notifiers = tuple(notifiers)
        self._workers = tuple(workers)
        self._inbox = inbox
        self._outbox = outbox
        self.leading = asyncio.Event()
        """Set while this process dispatches."""
        self._deadlines = DeadlineWorker(
            deadlines=deadlines, changes=changes, clock=clock, leads=self.leading.is_set
        )

    async def undelivered(self, limit: int = 50) -> tuple[DeadLetter, ...]:
        """What was given up, the newest first; in every process, dispatching or not."""
        return await self._outbox.dead_letters(limit)

    async def run(self) -> None:
        """Dispatch whenever the lease can be had, until cancelled; then give it back."""
        try:
            async with asyncio.TaskGroup() as duties:
                duties.create_task(self._deadlines.run())
                duties.create_task(self._lead_when_possible())
        finally:
            await self._leave()

    async def _lead_when_possible(self) -> None:
        while True:
            if await self._acquired():
                await self._lead()
            await asyncio.sleep(self._lease.term.total_seconds() / 4)

    async def _acquired(self) -> bool:
        try:
            async with asyncio.timeout(self._lease.term.total_seconds()):
                return await self._lease.acquire()
        except (ServerError, TimeoutError) as error:
            _log.warning("the dispatcher's lease cannot be reached: %s", str(error) or "no answer in time")
            return False

    async def _lead(self) -> None:
        _log.info("dispatching as %s", self._lease.holder)
        self.leading.set()
        try:
            async with asyncio.TaskGroup() as duties:
                duties.create_task(self._keep_lease())
                for worker in self._workers:
                    duties.create_task(_keep_running(f"{worker.channel} deliveries", worker.run))
                for notifier in self._notifiers:
                    receive = partial(notifier.receive, self._inbox)
                    duties.create_task(_keep_running(f"{notifier.channel} receiver", receive))
        except* _LeaseLost:
            _log.warning("lost the dispatcher's lease; another process may dispatch now")
        finally:
            self.leading.clear()

    async def _keep_lease(self) -> None:
        loop = asyncio.get_running_loop()
        term = self._lease.term.total_seconds()
        safe_until = loop.time() + term * 0.75
        while True:
            await asyncio.sleep(term / 4)
            asked_at = loop.time()
            if await self._acquired():
                safe_until = asked_at + term * 0.75
            elif loop.time() >= safe_until:
                raise _LeaseLost

    async def _leave(self) -> None:
        for notifier in self._notifiers:
            await notifier.aclose()
        try:
            await self._lease.release()
        except ServerError as error:
            _log.warning("the dispatcher's lease runs out by itself: %s", error)


async def _keep_running(name: str, duty: Callable[[], Awaitable[None]]) -> None:
    pause = _RESTART_SECONDS
    while True:
        try:
            await duty()
        except Exception as error:
            # Only the type: an unforeseen error may quote a URL, and a URL may hold a token.
            _log.error("%s failed and will start again: %s", name, type(error).__name__)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_RESTART_SECONDS)
