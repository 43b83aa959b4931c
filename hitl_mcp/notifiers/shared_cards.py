"""Keeps a card that carries several requests like the requests that are on it.

The first request's card is sent at once; those that join are shown on it when the window of a burst is over,
all in one change. Each change that shows anything new is a new face: its buttons carry another name, which
stands for exactly the requests and digests that it shows (see `nonces` and `inbox`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hitl_mcp.approvals.models import RequestRecord, RequestStatus
from hitl_mcp.approvals.sharing import may_share
from hitl_mcp.notifiers.base import Call, Card, CardReference, Notifier
from hitl_mcp.notifiers.card_faces import CardFace, CardFaces
from hitl_mcp.notifiers.card_making import CardMaker, Requests, items_of
from hitl_mcp.notifiers.card_store import CardRow, CardState, CardStore
from hitl_mcp.notifiers.errors import CardGone
from hitl_mcp.notifiers.outbox import OwedNews
from hitl_mcp.notifiers.placing import SharingWindows
from server_kit.clock import Clock


class ElsewhereNow(Exception):
    """The request was to join a card that people are done with: it needs another place."""

    def __init__(self, row: CardRow) -> None:
        super().__init__(row.request_id)
        self.row = row


@dataclass(frozen=True)
class _Item:
    row: CardRow
    record: RequestRecord

    @property
    def waits(self) -> bool:
        return self.record.request.status is RequestStatus.PENDING

    @property
    def was_shown(self) -> bool:
        return self.row.carried_by is None or self.row.state is not CardState.PREPARED


class SharedCards:
    """Works the shared cards of one channel. Callers see to it that each is worked by one at a time."""

    def __init__(
        self,
        *,
        notifier: Notifier,
        requests: Requests,
        store: CardStore,
        faces: CardFaces,
        maker: CardMaker,
        windows: SharingWindows,
        clock: Clock,
    ) -> None:
        self._notifier = notifier
        self._requests = requests
        self._store = store
        self._faces = faces
        self._maker = maker
        self._windows = windows
        self._clock = clock

    async def bring_up_to_date(self, news: OwedNews, mine: CardRow) -> datetime | None:
        """Show, on the card that has a place for this request, how all on it stand. Raises NotifierError.

        Returns when to be told again, or None. Raises ElsewhereNow for one that is too late to join.
        """
        every = await self._items(mine)
        carrier = every[0].row
        this = next(item for item in every if item.row.request_id == news.request_id)
        shown = [item for item in every if item.was_shown]
        waiting = [item for item in shown if item.waits]
        # Who decided does not look again, and who reads a card that is done does not either.
        may_grow = bool(waiting) and all(may_share(item.record) for item in waiting)
        if not this.was_shown:
            if not this.waits:
                await self._store.put(_at(this, CardState.CLOSED))
                return None
            if not may_grow:
                raise ElsewhereNow(this.row)
            until = (carrier.opened_at or self._clock.now()) + self._windows.kin
            if self._clock.now() < until:
                return until
        joining = [item for item in every if not item.was_shown and item.waits] if may_grow else []
        items = [item for item in every if item in shown or item in joining]
        reference = await self._bring(items, grows=bool(joining))
        if news.call is not None and this.waits and this.row.state is CardState.OPEN:
            await self._call(this, items, reference, news.call)
        return None

    async def _items(self, mine: CardRow) -> list[_Item]:
        rows = await self._store.on_card_of(mine.place, self._notifier.channel)
        return [_Item(row, await self._requests.get(row.request_id)) for row in rows]

    async def _bring(self, items: Sequence[_Item], *, grows: bool, anew: bool = False) -> CardReference:
        """Make the message match; returns where it is."""
        carrier = items[0].row
        card = self._maker.shared([item.record for item in items])
        showing = _showing(items)
        if showing == carrier.showing and not grows and not anew:
            return carrier.reference
        if card.is_open:
            reference = await self._show(card, carrier, grows=grows, anew=anew)
        else:
            reference = await self._close(card, carrier)
        await self._store.put(*self._rows(card, items, reference, showing))
        return reference

    async def _show(self, card: Card, carrier: CardRow, *, grows: bool, anew: bool) -> CardReference:
        face = CardFace(
            nonce=card.nonce,
            channel=self._notifier.channel,
            request_id=card.request_id,
            items=items_of(card),
            offers_approve=self._notifier.offers_approve(card),
            grew_at=self._clock.now() if grows else None,
        )
        # Known before it is shown, so that no tap on it meets a stranger.
        await self._faces.put(face)
        reference = await self._put_up(card, carrier, anew=anew)
        if grows:
            # People see it from now on.
            await self._faces.put(replace(face, grew_at=self._clock.now()))
        return reference

    async def _put_up(self, card: Card, carrier: CardRow, *, anew: bool) -> CardReference:
        place = carrier.reference
        if carrier.state is CardState.PREPARED:
            found = await self._notifier.find(card)
            if found is None:
                return await self._notifier.send(card)
            place = found
        elif anew:
            return await self._notifier.send(card)
        try:
            return await self._notifier.update(card, place)
        except CardGone:
            # Somebody deleted the message while answers are still needed.
            return await self._notifier.send(card)

    async def _close(self, card: Card, carrier: CardRow) -> CardReference:
        place = carrier.reference
        if carrier.state is CardState.PREPARED:
            found = await self._notifier.find(card)
            if found is None:
                return place
            place = found
        await self._notifier.close(card, place)
        return place

    def _rows(
        self, card: Card, items: Sequence[_Item], reference: CardReference, showing: str
    ) -> Sequence[CardRow]:
        offers = self._notifier.offers_approve(card)
        by_id = {each.request_id: each for each in card.items}
        rows: list[CardRow] = []
        for item in items:
            if item.waits:
                mine = by_id[item.row.request_id]
                row = replace(
                    _at(item, CardState.OPEN),
                    nonce=self._maker.nonce(mine, offers_approve=offers),
                    action_digest=mine.action_digest,
                    offers_approve=offers,
                )
            else:
                # It keeps the name that it was known by: taps on it are then told how it ended.
                row = _at(item, CardState.CLOSED)
            if item.row.carried_by is None:
                # As long as anything on it waits, the card is there to be changed.
                state = CardState.OPEN if card.is_open else CardState.CLOSED
                row = replace(row, reference=reference, showing=showing, state=state)
            rows.append(row)
        return rows

    async def _call(self, this: _Item, items: Sequence[_Item], reference: CardReference, number: int) -> None:
        row = await self._store.of_request(this.row.request_id, self._notifier.channel)
        if row is None or (row.call is not None and row.call > number):
            return
        begun_before = row.call == number
        if not begun_before:
            await self._store.put(replace(row, call=number))
        try:
            card = self._maker.card(this.record)
            await self._notifier.remind(card, reference, Call(number, begun_before))
        except CardGone:
            # Whoever deleted the card did not answer it: a new one calls as well.
            await self._bring(items, grows=False, anew=True)


def _at(item: _Item, state: CardState) -> CardRow:
    return replace(item.row, state=state, version=item.record.request.version)


def _showing(items: Sequence[_Item]) -> str:
    """What tells one state of the card from another: what an ended request showed changes only if revoked."""
    return json.dumps(
        [
            [
                item.row.request_id,
                item.record.request.version if item.waits else 0,
                item.record.request.status.value,
                item.record.request.revoked_at is not None,
            ]
            for item in items
        ]
    )
