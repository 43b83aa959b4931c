"""Publishes which tokens were withdrawn before they expired, signed as tokens are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from typing import Final

from hitl_contract.capability import MAX_LIFETIME_SECONDS
from hitl_contract.revocations import encode_revocations
from hitl_contract.verify import MAX_LEEWAY_SECONDS
from hitl_mcp.minting.keys import SigningKey
from server_kit.clock import Clock

_REMEMBERED: Final = timedelta(seconds=MAX_LIFETIME_SECONDS + MAX_LEEWAY_SECONDS)
_FRESH_SECONDS: Final = 0.5


class RevocationPublisher:
    """Makes the list anew at most twice a second, however often it is read: anybody may read it."""

    def __init__(
        self,
        *,
        revoked_since: Callable[[datetime], Awaitable[Collection[str]]],
        signing_key: Callable[[], SigningKey],
        issuer: str,
        clock: Clock,
    ) -> None:
        self._revoked_since = revoked_since
        self._signing_key = signing_key
        self._issuer = issuer
        self._clock = clock
        self._lock = asyncio.Lock()
        self._made_at = float("-inf")
        self._list = ""

    async def current(self) -> str:
        """The signed list of now. Raises DatabaseUnavailable."""
        async with self._lock:
            began = time.monotonic()
            if began - self._made_at > _FRESH_SECONDS:
                now = self._clock.now()
                token_ids = await self._revoked_since(now - _REMEMBERED)
                key = self._signing_key()
                self._list = encode_revocations(
                    issuer=self._issuer,
                    token_ids=token_ids,
                    issued_at=int(now.timestamp()),
                    private_key=key.private,
                    key_id=key.key_id,
                )
                self._made_at = began
            return self._list
