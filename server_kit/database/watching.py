"""Who waits for which key inside this process: the half of a change feed that both dialects share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from server_kit.database.base import MAX_KEY_CHARACTERS


class LocalWatch:
    """An `asyncio.Event` that stays set until somebody has seen it, so that no change falls between two
    waits.
    """

    def __init__(self, keys: tuple[str, ...], *, unhurried: bool = False) -> None:
        self.keys = keys
        self.unhurried = unhurried
        self._changed = asyncio.Event()

    def wake(self) -> None:
        self._changed.set()

    async def wait(self, timeout_seconds: float) -> bool:
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class Watchers:
    """The watches of this process by key."""

    def __init__(self) -> None:
        self._by_key: dict[str, set[LocalWatch]] = {}
        self.hurried = 0
        """How many watches want news of other processes at once."""

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def add(self, watch: LocalWatch) -> None:
        self.hurried += not watch.unhurried
        for key in watch.keys:
            self._by_key.setdefault(key, set()).add(watch)

    def remove(self, watch: LocalWatch) -> None:
        self.hurried -= not watch.unhurried
        for key in watch.keys:
            watching = self._by_key.get(key)
            if watching is not None:
                watching.discard(watch)
                if not watching:
                    del self._by_key[key]

    def wake(self, keys: Iterable[str]) -> None:
        for key in keys:
            for watch in self._by_key.get(key, ()):
                watch.wake()

    def wake_all(self) -> None:
        for watching in self._by_key.values():
            for watch in watching:
                watch.wake()


def checked_key(key: str) -> str:
    """Return the key, or raise ValueError when it is empty or longer than every dialect carries."""
    if not 0 < len(key) <= MAX_KEY_CHARACTERS:
        raise ValueError(f"a change key has 1 to {MAX_KEY_CHARACTERS} characters, not {len(key)}")
    return key
