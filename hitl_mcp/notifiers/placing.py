"""Where a new request is shown: on a card of its own, or on one that people have just been sent.

A request joins a card when, in this order:

1. it may share at all: an action of a risk that is not critical, undecided and as the agent asked for it;
2. it came soon after that card was made, and is the same action, or of the kin of one on it;
3. all on that card may share too, and the same people are asked about them in the same way;
4. the card then offers what each of them offers alone, so that joining takes Approve from nobody, and one
   message has room for a line about each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from hitl_mcp.approvals.errors import RequestNotFound
from hitl_mcp.approvals.models import RequestRecord
from hitl_mcp.approvals.sharing import asked_alike, kin_of, may_share
from hitl_mcp.notifiers.base import Card, CardReference, Notifier
from hitl_mcp.notifiers.card_making import CardMaker, Requests
from hitl_mcp.notifiers.card_store import CardRow, CardState, CardStore
from server_kit.clock import Clock

MAX_ITEMS: Final = 16
"""Most requests on one card: a list that a person still reads."""


@dataclass(frozen=True)
class SharingWindows:
    """How long after a card was made others may join it: the same action, or the kin of it.

    A card that others join within the `kin` window is brought up to date once, at its end.
    """

    same: timedelta = timedelta(seconds=60)
    kin: timedelta = timedelta(seconds=2)

    @property
    def longest(self) -> timedelta:
        return max(self.same, self.kin)


class CardPlaces:
    """Places the requests of one channel, one after the other."""

    def __init__(
        self,
        *,
        notifier: Notifier,
        requests: Requests,
        store: CardStore,
        maker: CardMaker,
        windows: SharingWindows,
        clock: Clock,
    ) -> None:
        self._notifier = notifier
        self._requests = requests
        self._store = store
        self._maker = maker
        self._windows = windows
        self._clock = clock
        self._placing = asyncio.Lock()

    async def place(self, record: RequestRecord, card: Card) -> CardRow:
        """Record where this pending request will be shown, before anything is sent."""
        row = CardRow(
            request_id=card.request_id,
            channel=self._notifier.channel,
            nonce=card.nonce,
            action_digest=card.action_digest,
            offers_approve=self._notifier.offers_approve(card),
            reference=CardReference(),
            state=CardState.PREPARED,
            version=card.version,
            opened_at=self._clock.now(),
        )
        if not may_share(record) or not self._windows.longest:  # 1
            await self._store.put(replace(row, opened_at=None))
            return row
        row = replace(row, kin=kin_of(record.request))
        # Two of one burst are delivered at the same time, and only one of them opens a card.
        async with self._placing:
            carrier = await self._carrier(record, row)
            if carrier is None:
                await self._store.put(row)
                return row
            # Until it is shown there, it can be decided nowhere in this channel.
            hidden = self._maker.nonce(card, offers_approve=False)
            row = replace(row, carried_by=carrier, nonce=hidden, offers_approve=False)
            await self._store.carry(row)
            return row

    async def _carrier(self, record: RequestRecord, row: CardRow) -> str | None:
        asked_at = record.request.created_at
        near = await self._store.near(
            row.channel, digest=row.action_digest, kin=row.kin, since=asked_at - self._windows.longest
        )
        for place in dict.fromkeys(each.place for each in near):
            on_card = await self._store.on_card_of(place, row.channel)
            if self._is_in_time(row, on_card, asked_at) and await self._fits(record, on_card):
                return place
        return None

    def _is_in_time(self, row: CardRow, on_card: Sequence[CardRow], asked_at: datetime) -> bool:  # 2
        opened_at = on_card[0].opened_at if on_card else None
        if opened_at is None or on_card[0].state is CardState.CLOSED:
            return False
        windows: list[timedelta] = []
        if any(each.action_digest == row.action_digest for each in on_card):
            windows.append(self._windows.same)
        if row.kin is not None and any(each.kin == row.kin for each in on_card):
            windows.append(self._windows.kin)
        # What waited for a start was asked before any card was made; a window of nothing is off for it too.
        return any(window and asked_at - opened_at <= window for window in windows)

    async def _fits(self, record: RequestRecord, on_card: Sequence[CardRow]) -> bool:
        if len(on_card) >= MAX_ITEMS:
            return False
        try:
            others = [await self._requests.get(row.request_id) for row in on_card]
        except RequestNotFound:
            return False
        asked = record.request
        if not all(may_share(each) and asked_alike(each.request, asked) for each in others):  # 3
            return False
        alone, together = self._maker.card(others[0]), self._maker.shared([*others, record])  # 4
        offered = {
            self._notifier.offers_approve(each) for each in (alone, self._maker.card(record), together)
        }
        return self._notifier.holds(together) and len(offered) == 1
