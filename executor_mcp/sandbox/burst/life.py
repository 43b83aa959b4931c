"""The life of an outer container, and when it has lived long enough: pure.

OPEN -> RETIRING -> GONE, and from either CONDEMNED -> GONE. Nothing is opened again: a container that was
found odd takes its executions with it, one that retires waits for them.
"""

from __future__ import annotations

from enum import StrEnum

from executor_mcp.sandbox.settings import BurstSettings

_NEARLY = 0.9
"""From this part of its allowance on a successor is made, so that no caller waits for one."""


class Life(StrEnum):
    OPEN = "open"
    RETIRING = "retiring"
    CONDEMNED = "condemned"
    GONE = "gone"


_AFTER = {
    Life.OPEN: {Life.RETIRING, Life.CONDEMNED, Life.GONE},
    Life.RETIRING: {Life.CONDEMNED, Life.GONE},
    Life.CONDEMNED: {Life.GONE},
    Life.GONE: set[Life](),
}


def may_become(now: Life, then: Life) -> bool:
    return then in _AFTER[now]


def is_worn(settings: BurstSettings, *, executions: int, age: float) -> bool:
    """Whether it takes no further execution."""
    return executions >= settings.max_executions or age >= settings.max_age_seconds


def needs_successor(settings: BurstSettings, *, executions: int, age: float) -> bool:
    return executions >= _NEARLY * settings.max_executions or age >= _NEARLY * settings.max_age_seconds
