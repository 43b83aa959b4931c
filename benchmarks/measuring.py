"""Samples of durations and what is said about them."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Samples:
    """Durations of one operation, in seconds, in the order in which they were taken."""

    seconds: list[float] = field(default_factory=list[float])

    def add(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def percentile(self, percent: float) -> float:
        """The nearest-rank percentile, in milliseconds."""
        if not self.seconds:
            raise ValueError("nothing was measured")
        ordered = sorted(self.seconds)
        rank = max(0, math.ceil(percent / 100 * len(ordered)) - 1)
        return ordered[rank] * 1000

    @property
    def p50(self) -> float:
        return self.percentile(50)

    @property
    def p99(self) -> float:
        return self.percentile(99)


@dataclass
class Measurements:
    """All samples of one run, by the operation's name."""

    by_name: dict[str, Samples] = field(default_factory=dict[str, Samples])

    def of(self, name: str) -> Samples:
        return self.by_name.setdefault(name, Samples())

    async def timed(self, name: str, operation: Callable[[], Awaitable[T]]) -> T:
        """Run the operation and add its duration to the samples of `name`."""
        started = time.perf_counter()
        result = await operation()
        self.of(name).add(time.perf_counter() - started)
        return result
