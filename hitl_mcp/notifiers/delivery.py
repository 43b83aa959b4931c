"""Brings the cards of one channel up to date with the requests that it was told of.

Level-triggered: it compares what the card shows with how the request stands, and sends, updates or closes.
A card is recorded as PREPARED before it is sent, so that after a crash in between it is looked for and not
blindly sent again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from hitl_mcp.approvals.deadlines import held_until
from hitl_mcp.approvals.errors import RequestNotFound
from hitl_mcp.approvals.models import RequestRecord, RequestStatus
from hitl_mcp.notifiers.base import Call, Card, CardReference, Notifier
from hitl_mcp.notifiers.card_locks import CardLocks
from hitl_mcp.notifiers.card_making import CardMaker, Requests
from hitl_mcp.notifiers.card_store import CardRow, CardState, CardStore
from hitl_mcp.notifiers.errors import CardGone
from hitl_mcp.notifiers.outbox import OwedNews
from hitl_mcp.notifiers.placing import CardPlaces
from hitl_mcp.notifiers.shared_cards import ElsewhereNow, SharedCards
from server_kit.clock import Clock


class CardKeeper:
    """Makes what one channel shows of a request match the request."""

    def __init__(
        self,
        *,
        notifier: Notifier,
        requests: Requests,
        store: CardStore,
        maker: CardMaker,
        places: CardPlaces,
        shared: SharedCards,
        clock: Clock,
    ) -> None:
        self._notifier = notifier
        self._requests = requests
        self._store = store
        self._maker = maker
        self._places = places
        self._shared = shared
        self._clock = clock
        self._locks = CardLocks()

    async def bring_up_to_date(self, news: OwedNews) -> datetime | None:
        """Send, update or close the card as the request needs; call people to it. Raises NotifierError.

        Returns when to be told of it again, or None where nothing is owed any more.
        """
        request_id = news.request_id
        try:
            record = await self._requests.get(request_id)
        except RequestNotFound:
            return None
        row = await self._store.of_request(request_id, self._notifier.channel)
        pending = record.request.status is RequestStatus.PENDING
        if pending and self._is_held(record):
            return None
        if row is None and not pending:
            return None
        is_new = row is None
        if row is None:
            row = await self._places.place(record, self._maker.card(record))
        try:
            async with self._locks.of(row.place):
                return await self._work(news, record, is_new=is_new)
        except ElsewhereNow as found:
            await self._store.forget(found.row)
            return await self.bring_up_to_date(news)

    async def _work(self, news: OwedNews, record: RequestRecord, *, is_new: bool) -> datetime | None:
        # Read again now that nobody else works on this card.
        row = await self._store.of_request(news.request_id, self._notifier.channel)
        if row is None:
            return None
        if row.carries or row.carried_by is not None:
            return await self._shared.bring_up_to_date(news, row)
        card = self._maker.card(record)
        if record.request.status is RequestStatus.PENDING:
            await self._show(card, row, is_new=is_new)
            # A card that is new is call enough.
            if news.call is not None and row.state is CardState.OPEN:
                await self._call(card, news.call)
        else:
            await self._close(card, row)
        return None

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

    async def _show(self, card: Card, row: CardRow, *, is_new: bool) -> None:
        if is_new:
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
