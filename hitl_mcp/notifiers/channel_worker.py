"""Works the outbox of one channel: tries, tries again, and gives up with a record of it."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from hitl_mcp.approvals.tracing import RequestTracing
from hitl_mcp.notifiers.delivery import CardKeeper
from hitl_mcp.notifiers.errors import CardRefused, ChannelBusy, NotifierError
from hitl_mcp.notifiers.outbox import CHANGE_KEY, OwedNews, RetryPolicy, SqlOutbox
from server_kit.clock import Clock
from server_kit.database.base import ChangeFeed, Watch
from server_kit.errors import ServerError

_log = logging.getLogger(__name__)

_AT_ONCE = 8
_LONGEST_WAIT_SECONDS = 30.0
_DATABASE_PAUSE_SECONDS = 1.0
_COURTESY_SECONDS = 0.02


class ChannelWorker:
    """Works the outbox of one channel: several requests at once, each request in order."""

    def __init__(
        self,
        *,
        channel: str,
        keeper: CardKeeper,
        outbox: SqlOutbox,
        changes: ChangeFeed,
        clock: Clock,
        retries: RetryPolicy,
        tracing: RequestTracing,
    ) -> None:
        self.channel = channel
        self._keeper = keeper
        self._outbox = outbox
        self._changes = changes
        self._clock = clock
        self._retries = retries
        self._tracing = tracing
        self._in_hand: set[str] = set()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._finished = asyncio.Event()
        self._resumes_at = 0.0

    async def run(self) -> None:
        """Work until cancelled; outlasts every failure of the service and of the database."""
        async with (
            self._changes.watch(CHANGE_KEY, unhurried=True) as watch,
            asyncio.TaskGroup() as deliveries,
        ):
            while True:
                await self._pause_if_asked()
                try:
                    for news in await self._outbox.due(self.channel):
                        if news.request_id not in self._in_hand:
                            await self._slots.acquire()
                            self._in_hand.add(news.request_id)
                            deliveries.create_task(self._deliver(news))
                    wait = await self._seconds_to_next()
                except ServerError as error:
                    _log.warning("%s deliveries wait for the database: %s", self.channel, error)
                    wait = _DATABASE_PAUSE_SECONDS
                await self._wait(watch, wait)

    async def _wait(self, watch: Watch, seconds: float) -> None:
        woken = asyncio.ensure_future(watch.wait(seconds))
        finished = asyncio.ensure_future(self._finished.wait())
        try:
            await asyncio.wait({woken, finished}, return_when=asyncio.FIRST_COMPLETED)
            if woken.done() and woken.result():
                # Whoever made the news is answered first, and a burst of news is worked together.
                await asyncio.sleep(_COURTESY_SECONDS)
        finally:
            woken.cancel()
            finished.cancel()
        self._finished.clear()

    async def _pause_if_asked(self) -> None:
        pause = self._resumes_at - asyncio.get_running_loop().time()
        if pause > 0:
            await asyncio.sleep(pause)

    async def _seconds_to_next(self) -> float:
        due_at = await self._outbox.next_due(self.channel)
        # What is in hand counts as due until it is settled, and its end wakes this worker anyway.
        if due_at is None or self._in_hand:
            return _LONGEST_WAIT_SECONDS
        return min(max(0.0, (due_at - self._clock.now()).total_seconds()), _LONGEST_WAIT_SECONDS)

    async def _deliver(self, news: OwedNews) -> None:
        try:
            with self._tracing.step("approval.notify", news.request_id) as notes:
                notes.note("channel", self.channel)
                notes.note("attempt", news.attempts + 1)
                notes.note("delivery", await self._attempt(news))
        except ServerError as error:
            _log.warning("%s: delivery of %s unrecorded: %s", self.channel, news.request_id, error)
            await asyncio.sleep(_DATABASE_PAUSE_SECONDS)
        finally:
            self._in_hand.discard(news.request_id)
            self._slots.release()
            self._finished.set()

    async def _attempt(self, news: OwedNews) -> str:
        """Raises ServerError; how it went, in one word."""
        try:
            until = await self._keeper.bring_up_to_date(news)
        except ChannelBusy as busy:
            pause = busy.retry_after_seconds
            self._resumes_at = asyncio.get_running_loop().time() + pause
            await self._outbox.retry_later(
                news, error=str(busy), pause=timedelta(seconds=pause), counted=False
            )
            return "busy"
        except CardRefused as error:
            return await self._give_up(news, str(error))
        except NotifierError as error:
            return await self._later(news, str(error))
        except ServerError:
            raise
        except Exception as error:
            # A defect must cost this one delivery, not the channel. Only its type: the text may quote.
            return await self._later(news, f"unexpected {type(error).__name__}")
        if until is not None:
            await self._outbox.defer(news, until)
            return "deferred"
        await self._outbox.settle(news)
        return "delivered"

    async def _later(self, news: OwedNews, error: str) -> str:
        attempts = news.attempts + 1
        if attempts >= self._retries.max_attempts:
            return await self._give_up(news, error)
        pause = self._retries.pause(attempts)
        _log.info(
            "%s: %s, next try in %.1f s: %s", self.channel, news.request_id, pause.total_seconds(), error
        )
        await self._outbox.retry_later(news, error=error, pause=pause)
        return "failed"

    async def _give_up(self, news: OwedNews, error: str) -> str:
        _log.error("%s: nobody could be told of %s: %s", self.channel, news.request_id, error)
        await self._outbox.give_up(news, error=error)
        return "given_up"
