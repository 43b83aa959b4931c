"""The card of a request in one channel, with the name that its buttons carry there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from hitl_mcp.approvals.models import RequestRecord
from hitl_mcp.notifiers.base import Card, Notifier
from hitl_mcp.notifiers.cards import build_card
from hitl_mcp.notifiers.nonces import CardNonces
from server_kit.clock import Clock

_NONCE_SHAPE = "n" * 43


class Requests(Protocol):
    """Where requests are read; implemented by `approvals.service.ApprovalService`."""

    async def get(self, request_id: str) -> RequestRecord: ...


class CardMaker:
    """Builds cards for one channel."""

    def __init__(
        self, *, notifier: Notifier, nonces: CardNonces, review_url: Callable[[str], str], clock: Clock
    ) -> None:
        self._notifier = notifier
        self._nonces = nonces
        self._review_url = review_url
        self._clock = clock

    def card(self, record: RequestRecord) -> Card:
        """The card of this request alone, as it stands now."""
        request_id = record.request.request_id
        draft = build_card(
            record, review_url=self._review_url(request_id), nonce=_NONCE_SHAPE, now=self._clock.now()
        )
        offers = self._notifier.offers_approve(draft)
        return replace(draft, nonce=self.nonce(draft, offers_approve=offers))

    def shared(self, records: Sequence[RequestRecord]) -> Card:
        """One card of the first request that carries the others as well."""
        first, *others = [self.card(record) for record in records]
        draft = replace(first, others=tuple(others), nonce=_NONCE_SHAPE)
        waiting = draft.open_items
        if not waiting:
            return draft
        nonce = self._nonces.make_shared(
            channel=self._notifier.channel,
            request_id=draft.request_id,
            items=items_of(draft),
            offers_approve=self._notifier.offers_approve(draft),
        )
        # The page of one that waits leads to the others.
        return replace(draft, nonce=nonce, review_url=waiting[0].review_url)

    def nonce(self, card: Card, *, offers_approve: bool) -> str:
        """What names this one request in this channel."""
        return self._nonces.make(
            channel=self._notifier.channel,
            request_id=card.request_id,
            action_digest=card.action_digest,
            offers_approve=offers_approve,
        )


def items_of(card: Card) -> tuple[tuple[str, str], ...]:
    """What one tap on this card decides: each request that waits, by the digest that is shown."""
    return tuple((item.request_id, item.action_digest) for item in card.open_items)
