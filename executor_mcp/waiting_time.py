"""How long a full queue takes to have room: an estimate that is said to be one."""

from __future__ import annotations

from typing import Final

SHORTEST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 60.0


def expected_wait(ended_lately: int, *, lately_seconds: float) -> float:
    """Seconds until one of those that wait will have left, at the pace of the last `lately_seconds`."""
    if ended_lately <= 0:
        return LONGEST_WAIT_SECONDS
    return min(LONGEST_WAIT_SECONDS, max(SHORTEST_WAIT_SECONDS, lately_seconds / ended_lately))
