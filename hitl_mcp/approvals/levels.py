"""Scales that requests, decisions and rules share, each from low to high."""

from __future__ import annotations

from enum import StrEnum


class RiskLevel(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for low, 3 for critical."""
        return list(RiskLevel).index(self)


class Assurance(StrEnum):
    """How well a channel proves who decides, from weak to strong."""

    CHAT = "chat"
    SESSION = "session"

    @property
    def rank(self) -> int:
        """0 for the weakest."""
        return list(Assurance).index(self)

    def satisfies(self, required: Assurance) -> bool:
        return self.rank >= required.rank
