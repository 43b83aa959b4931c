"""The names that cards' buttons carry: unguessable, and proof of what the card showed.

A nonce is a MAC under a key that is not in the database. So a tap proves which action the tapped card
showed, and who can write the `cards` table cannot turn a person's tap on one request into a decision on
another. The nonce of a card that carries several requests covers each of them and its digest.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Protocol


class Sealer(Protocol):
    """A MAC over named fields; implemented by `hitl_mcp.minting.seals.RecordSealer`."""

    def seal(self, kind: str, fields: Mapping[str, object]) -> str: ...


class CardNonces:
    """Makes and checks nonces: 43 characters of URL-safe Base64, short enough for Telegram's 64 bytes."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def make(self, *, channel: str, request_id: str, action_digest: str, offers_approve: bool) -> str:
        """The nonce of the card that shows `action_digest` of `request_id` in `channel`."""
        fields = {
            "channel": channel,
            "request_id": request_id,
            "action_digest": action_digest,
            "offers_approve": offers_approve,
        }
        return self._sealer.seal("card", fields).rpartition(":")[2]

    def matches(
        self, nonce: str, *, channel: str, request_id: str, action_digest: str, offers_approve: bool
    ) -> bool:
        """Whether `nonce` is that card's, in constant time."""
        expected = self.make(
            channel=channel,
            request_id=request_id,
            action_digest=action_digest,
            offers_approve=offers_approve,
        )
        return hmac.compare_digest(nonce.encode(), expected.encode())

    def make_shared(
        self, *, channel: str, request_id: str, items: Sequence[tuple[str, str]], offers_approve: bool
    ) -> str:
        """The nonce of the card of `request_id` while its buttons decide these requests by these digests."""
        fields = {
            "channel": channel,
            "request_id": request_id,
            "items": [list(item) for item in items],
            "offers_approve": offers_approve,
        }
        return self._sealer.seal("shared_card", fields).rpartition(":")[2]

    def matches_shared(
        self,
        nonce: str,
        *,
        channel: str,
        request_id: str,
        items: Sequence[tuple[str, str]],
        offers_approve: bool,
    ) -> bool:
        """Whether `nonce` is that card's, in constant time."""
        expected = self.make_shared(
            channel=channel, request_id=request_id, items=items, offers_approve=offers_approve
        )
        return hmac.compare_digest(nonce.encode(), expected.encode())
