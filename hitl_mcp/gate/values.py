"""Values that the gate takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hitl_contract.action import Action
from hitl_mcp.approvals.models import RequestStatus, RiskLevel


@dataclass(frozen=True, slots=True)
class GateRequest:
    """A request for approval as its program sees it. `explanation` is written for who reads the outcome."""

    request_id: str
    status: RequestStatus
    action_digest: str
    risk_level: RiskLevel
    policy: str
    required_approvals: int
    received_approvals: int
    expires_at: datetime
    review_url: str
    explanation: str

    @property
    def ended(self) -> bool:
        return self.status.is_terminal


@dataclass(frozen=True, slots=True)
class SpentAction:
    """An approved action that is now to be done, once. It is as approved: perhaps not as asked for.

    `request_id` is None when the gate's policy is not enabled and nobody was asked.
    """

    action: Action
    request_id: str | None


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """How a gate asks. What the server's rules say goes further where it is stricter.

    With `enabled` False nobody is asked and nothing is approved: acts are simply done. `timeout_seconds` (10
    to 604,800) is how long people may take. `required_approvers` is how many must agree at least. `reason` is
    why approval is asked for where a call says nothing else.
    """

    enabled: bool = True
    timeout_seconds: int = 3600
    required_approvers: int | None = None
    reason: str = "This program asks before it does this."


class Mode(StrEnum):
    """Who decides. MANUAL: people. CALLBACK: the callback alone. MIXED: it, and people about the rest."""

    MANUAL = "manual"
    CALLBACK = "callback"
    MIXED = "mixed"
