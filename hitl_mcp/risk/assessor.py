"""What every assessor of risk is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.terms import AgentFacts


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one assessor thinks, in plain words. Without a level it has no opinion on this action.

    `reason` never quotes code, and says nothing that would be a secret.
    """

    level: RiskLevel | None
    reason: str


class Assessor(Protocol):
    """Judges one action by itself. Assessors know nothing of each other.

    An assessor that raises, or that has no answer in time, is left out: the consensus says so, and goes on.
    """

    @property
    def name(self) -> str:
        """How its vote is called wherever votes are shown."""
        ...

    @property
    def essential(self) -> bool:
        """Whether nothing counts as low while this assessor is left out."""
        ...

    def at_once(self, agent: AgentFacts, submission: Submission) -> Opinion | None:
        """The opinion on a small action where nothing needs to be waited for; None has `assess` asked."""
        ...

    async def assess(self, agent: AgentFacts, submission: Submission) -> Opinion: ...


def worst(first: RiskLevel, *others: RiskLevel) -> RiskLevel:
    """Return the highest of some levels."""
    return max((first, *others), key=lambda level: level.rank)
