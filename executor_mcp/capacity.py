"""How many programs may run at a time. A call waits for its turn here, or in the queue."""

from __future__ import annotations

import asyncio


class NoCapacity(Exception):
    """Nobody finished in time."""


class Capacity:
    """A bounded number of places; `give_back` is called once for every successful `take`."""

    def __init__(self, places: int, *, patience_seconds: float) -> None:
        self._places = asyncio.Semaphore(places)
        self._patience = patience_seconds

    async def take(self, patience_seconds: float | None = None) -> None:
        """Raises NoCapacity when no place has come free within the patience, else the configured one."""
        patience = self._patience if patience_seconds is None else patience_seconds
        try:
            async with asyncio.timeout(patience):
                await self._places.acquire()
        except TimeoutError as error:
            raise NoCapacity(f"no place came free within {patience:g} s") from error

    async def take_now(self) -> bool:
        """False when no place is free, or somebody waits for one already."""
        if self._places.locked():
            return False
        # With a place free and nobody waiting this does not suspend.
        await self._places.acquire()
        return True

    def give_back(self) -> None:
        self._places.release()
