"""Slows down who presents wrong credentials, per address. A right credential is never slowed down by it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from server_kit.clock import Clock

REFUSALS_PER_WINDOW: Final = 20
WINDOW_SECONDS: Final = 60.0
_ADDRESSES_KEPT: Final = 10_000


class RefusalThrottle:
    """Counts refused credentials in this process.

    Keys have 256 random bits, so guessing is hopeless with or without this; it keeps a guesser cheap.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._refusals: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def refuse(self, address: str) -> int | None:
        """Count one refusal; the seconds to stay away when it was one too many, else None."""
        now = self._clock.now().timestamp()
        began, count = self._refusals.pop(address, (now, 0))
        if now - began >= WINDOW_SECONDS:
            began, count = now, 0
        self._refusals[address] = (began, count + 1)
        while len(self._refusals) > _ADDRESSES_KEPT:
            self._refusals.popitem(last=False)
        if count + 1 <= REFUSALS_PER_WINDOW:
            return None
        return max(1, int(began + WINDOW_SECONDS - now) + 1)
