"""How bad a finding is."""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    """From what hardly matters to what a person has to look at; `rank` orders them from 0."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return _ORDER.index(self)


_ORDER = tuple(Severity)


def worst(severities: list[Severity]) -> Severity:
    """Return the worst of some severities; LOW when there are none."""
    return max(severities, key=lambda severity: severity.rank, default=Severity.LOW)
