"""What a person hands in to make a grant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.shapes.patterns import Pattern

MAX_USES: Final = 1000
LONGEST: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class GrantForm:
    """What shall be allowed: the action of `request_id`, as shown, with the places in `vary` free to vary.

    `action_digest` is the digest of what the person saw. `uses` is 1 to 1,000; `expires_at` at most 30 days
    from now.
    """

    request_id: str
    person: str
    action_digest: str
    uses: int
    expires_at: datetime
    vary: Mapping[str, Pattern] = field(default_factory=dict[str, Pattern])
    max_risk: RiskLevel = RiskLevel.MEDIUM
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The person's word: the digest of the words that they read, and what proves that it was them."""

    wording_digest: str
    channel: str
    assurance: Assurance
    evidence: Mapping[str, str] = field(default_factory=dict[str, str])
