"""What using an approval up answers, when its action is carried out without a capability token."""

from __future__ import annotations

from dataclasses import dataclass

from hitl_mcp.approvals.models import ApprovalRequest


@dataclass(frozen=True, slots=True)
class SpentApproval:
    """An approval that was used up for `use`. Only whom `first` is told may act, and once."""

    request: ApprovalRequest
    use: str
    first: bool
