"""Brings one channel up to date with the requests it was told of.

Level-triggered: it compares what the card shows with how the request stands, and sends, updates or closes.
A card is recorded as PREPARED before it is sent, so that after a crash in between it is looked for and not
blindly sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from hitl_mcp.approvals.deadlines import held_until
from hitl_mcp.approvals.errors import RequestNotFound
from hitl_mcp.approvals.models import RequestRecord, RequestStatus
from hitl_mcp.notifiers.base import Call, Card, CardReference, Notifier
from hitl_mcp.notifiers.card_store import CardRow, CardState, CardStore
from hitl_mcp.notifiers.cards import build_card
from hitl_mcp.notifiers.errors import CardGone, CardRefused, ChannelBusy, NotifierError
from hitl_mcp.notifiers.nonces import CardNonces
from hitl_mcp.notifiers.outbox import CHANGE_KEY, OwedNews, RetryPolicy, SqlOutbox
from server_kit.clock import Clock
from server_kit.database.base import ChangeFeed, Watch
from server_kit.errors import ServerError

_log = logging.getLogger(__name__)

_AT_ONCE = 8
_LONGEST_WAIT_SECONDS = 30.0
_DATABASE_PAUSE_SECONDS = 1.0
_COURTESY_SECONDS = 0.02
_NONCE_SHAPE = "n" * 43


class Requests(Protocol):
    """Where requests are read; implemented by `approvals.service.ApprovalService`."""

    async def get(self, request_id: str) -> RequestRecord: ...


class CardKeeper:
    """Makes the card of a request in one channel match the request."""

    def __init__(
        self,
        *,
        notifier: Notifier,
        requests: Requests,
        store: CardStore,
        nonces: CardNonces,
        review_url: Callable[[str], str],
        clock: Clock,
    ) -> None:
        self._notifier = notifier
        self._requests = requests
        self._store = store
        self._nonces = nonces
        self._review_url = review_url
        self._clock = clock

    async def bring_up_to_date(self, news: OwedNews) -> None:
        """Send, update or close the card as the request needs; call people to it. Raises NotifierError."""
        request_id = news.request_id
        try:
            record = await self._requests.get(request_id)
        except RequestNotFound:
            return
        row = await self._store.of_request(request_id, self._notifier.channel)
        card = self._card(record)
        if record.request.status is RequestStatus.PENDING:
            if self._is_held(record):
                return
            await self._show(card, row)
            # A card that is new is call enough.
            if news.call is not None and row is not None and row.state is CardState.OPEN:
                await self._call(card, news.call)
        elif row is not None:
            await self._close(card, row)

    def _is_held(self, record: RequestRecord) -> bool:
        # The end of the quiet hours is a deadline of the request, and brings the news again.
        until = held_until(record.request)
        return until is not None and self._clock.now() < until

    async def _call(self, card: Card, number: int) -> None:
        row = await self._store.of_request(card.request_id, self._notifier.channel)
        if row is None or (row.call is not None and row.call > number):
            return
        begun_before = row.call == number
        if not begun_before:
            await self._store.put(replace(row, call=number))
        try:
            await self._notifier.remind(card, row.reference, Call(number, begun_before))
        except CardGone:
            # Whoever deleted the card did not answer it: a new one calls as well.
            await self._send(card)

    def _card(self, record: RequestRecord) -> Card:
        request_id = record.request.request_id
        draft = build_card(
            record, review_url=self._review_url(request_id), nonce=_NONCE_SHAPE, now=self._clock.now()
        )
        nonce = self._nonces.make(
            channel=self._notifier.channel,
            request_id=request_id,
            action_digest=draft.action_digest,
            offers_approve=self._notifier.offers_approve(draft),
        )
        return replace(draft, nonce=nonce)

    async def _show(self, card: Card, row: CardRow | None) -> None:
        if row is None:
            await self._record(card, CardState.PREPARED, CardReference())
            await self._send(card)
        elif row.state is CardState.PREPARED:
            found = await self._notifier.find(card)
            if found is None:
                await self._send(card)
            else:
                await self._record(card, CardState.OPEN, await self._notifier.update(card, found))
        elif row.state is CardState.OPEN and row.version != card.version:
            await self._update(card, row)

    async def _send(self, card: Card) -> None:
        await self._record(card, CardState.OPEN, await self._notifier.send(card))

    async def _update(self, card: Card, row: CardRow) -> None:
        if row.nonce != card.nonce:
            # From here on the old card's buttons mean nothing, whether or not the service can be reached.
            offers = self._notifier.offers_approve(card)
            changed = replace(row, nonce=card.nonce, action_digest=card.action_digest, offers_approve=offers)
            await self._store.put(changed)
        try:
            moved = await self._notifier.update(card, row.reference)
        except CardGone:
            # Somebody deleted the message while an answer is still needed.
            await self._send(card)
        else:
            await self._record(card, CardState.OPEN, moved)

    async def _close(self, card: Card, row: CardRow) -> None:
        reference = row.reference
        if row.state is CardState.PREPARED:
            found = await self._notifier.find(card)
            if found is None:
                await self._record(card, CardState.CLOSED, reference)
                return
            reference = found
        elif row.state is CardState.CLOSED and (row.version == card.version or not card.revoked):
            return
        await self._notifier.close(card, reference)
        await self._record(card, CardState.CLOSED, reference)

    async def _record(self, card: Card, state: CardState, reference: CardReference) -> None:
        # An ended card keeps the name it was known by: taps on it are then told how it ended.
        before = await self._store.of_request(card.request_id, self._notifier.channel)
        known = None if card.status is RequestStatus.PENDING else before
        offers_approve = self._notifier.offers_approve(card) if known is None else known.offers_approve
        await self._store.put(
            CardRow(
                request_id=card.request_id,
                channel=self._notifier.channel,
                nonce=card.nonce if known is None else known.nonce,
                action_digest=card.action_digest if known is None else known.action_digest,
                offers_approve=offers_approve,
                reference=reference,
                state=state,
                version=card.version,
                call=None if before is None else before.call,
            )
        )


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
    ) -> None:
        self.channel = channel
        self._keeper = keeper
        self._outbox = outbox
        self._changes = changes
        self._clock = clock
        self._retries = retries
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
            await self._attempt(news)
        except ServerError as error:
            _log.warning("%s: delivery of %s unrecorded: %s", self.channel, news.request_id, error)
            await asyncio.sleep(_DATABASE_PAUSE_SECONDS)
        finally:
            self._in_hand.discard(news.request_id)
            self._slots.release()
            self._finished.set()

    async def _attempt(self, news: OwedNews) -> None:
        try:
            await self._keeper.bring_up_to_date(news)
        except ChannelBusy as busy:
            pause = busy.retry_after_seconds
            self._resumes_at = asyncio.get_running_loop().time() + pause
            await self._outbox.retry_later(
                news, error=str(busy), pause=timedelta(seconds=pause), counted=False
            )
        except CardRefused as error:
            await self._give_up(news, str(error))
        except NotifierError as error:
            await self._later(news, str(error))
        except ServerError:
            raise
        except Exception as error:
            # A defect must cost this one delivery, not the channel. Only its type: the text may quote.
            await self._later(news, f"unexpected {type(error).__name__}")
        else:
            await self._outbox.settle(news)

    async def _later(self, news: OwedNews, error: str) -> None:
        attempts = news.attempts + 1
        if attempts >= self._retries.max_attempts:
            await self._give_up(news, error)
            return
        pause = self._retries.pause(attempts)
        _log.info(
            "%s: %s, next try in %.1f s: %s", self.channel, news.request_id, pause.total_seconds(), error
        )
        await self._outbox.retry_later(news, error=error, pause=pause)

    async def _give_up(self, news: OwedNews, error: str) -> None:
        _log.error("%s: nobody could be told of %s: %s", self.channel, news.request_id, error)
        await self._outbox.give_up(news, error=error)
