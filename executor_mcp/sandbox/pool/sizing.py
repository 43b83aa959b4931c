"""How many containers wait, and how long a caller would: pure arithmetic over what was asked for lately.

Demand is a rate that fades: each call adds, half a minute without one takes two thirds away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MEMORY_SECONDS = 30.0
HEADROOM = 2.0
"""Containers that wait for each one that is used up while one is made: calls come in bursts."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Calls a second, as of `updated` (seconds on a steady clock)."""

    rate: float = 0.0
    updated: float = 0.0

    def at(self, now: float) -> float:
        return self.rate * math.exp(-max(0.0, now - self.updated) / MEMORY_SECONDS)

    def noted(self, now: float) -> Demand:
        """One more call."""
        return Demand(self.at(now) + 1 / MEMORY_SECONDS, now)


def wanted(rate: float, launch_seconds: float, *, minimum: int, maximum: int, worth_keeping: float) -> int:
    """Containers that should wait for calls that come at this rate; from `worth_keeping` on at least one."""
    if rate < worth_keeping:
        return min(minimum, maximum)
    return max(minimum, min(maximum, max(1, math.ceil(rate * launch_seconds * HEADROOM))))


def expected_wait(ahead: int, launch_seconds: float, launches_at_a_time: int) -> float:
    """Seconds until a caller with so many ahead has a container, if all goes as it went lately."""
    return math.ceil((ahead + 1) / launches_at_a_time) * launch_seconds
