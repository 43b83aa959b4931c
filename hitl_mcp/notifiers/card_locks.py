"""One piece of work at a time on each card: several requests may be shown on one."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class CardLocks:
    """A lock for each card that is being worked on; it is forgotten with the last who holds or awaits it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, request_id: str) -> asyncio.Lock:
        """The lock of the card of this request."""
        lock = self._locks.get(request_id)
        if lock is None:
            lock = self._locks[request_id] = asyncio.Lock()
        return lock
