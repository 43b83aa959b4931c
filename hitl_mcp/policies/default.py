"""The rule that applies when no other does: ask one approver."""

from __future__ import annotations

from typing import Final

from hitl_mcp.approvals.models import Assurance, Outcome, RiskLevel, Submission

NAME: Final = "ask-one-approver"
_NEEDS_SESSION: Final = frozenset({RiskLevel.HIGH, RiskLevel.CRITICAL})


class AskOneApprover:
    """Implements `approvals.ports.Policy`: one approval for anything.

    A chat approves low and medium risk; high and critical need a session. An agent that says nothing about
    risk is taken to mean medium.
    """

    async def evaluate(self, agent: str, submission: Submission) -> Outcome:  # noqa: ARG002 - the port's signature
        risk_level = submission.risk_level or RiskLevel.MEDIUM
        return Outcome(
            policy=NAME,
            risk_level=risk_level,
            required_approvals=1,
            required_assurance=Assurance.SESSION if risk_level in _NEEDS_SESSION else Assurance.CHAT,
        )
