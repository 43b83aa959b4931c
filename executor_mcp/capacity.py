"""How many programs may run at a time. A call waits for its turn before its token is spent."""

from __future__ import annotations

import asyncio


class NoCapacity(Exception):
    """Nobody finished in time."""


class Capacity:
    """A bounded number of places; `give_back` is called once for every successful `take`."""

    def __init__(self, places: int, *, patience_seconds: float) -> None:
        self._places = asyncio.Semaphore(places)
        self._patience = patience_seconds

    async def take(self) -> None:
        """Raises NoCapacity when no place has come free within the configured patience."""
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError as error:
            raise NoCapacity(f"no place came free within {self._patience:g} s") from error

    def give_back(self) -> None:
        self._places.release()
