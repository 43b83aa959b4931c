"""The rule that applies when no other does: ask one approver."""

from __future__ import annotations

from typing import Final

from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.terms import AgentFacts, RiskAssessment, RuleVerdict, Ruling, Terms

NAME: Final = "ask-one-approver"
_NEEDS_SESSION: Final = frozenset({RiskLevel.HIGH, RiskLevel.CRITICAL})


class AskOneApprover:
    """Implements `approvals.ports.Policy`: one approval for anything.

    A chat approves low and medium risk; high and critical need a session.
    """

    async def evaluate(self, agent: AgentFacts, submission: Submission, risk: RiskAssessment) -> Ruling:  # noqa: ARG002 - the port's signature
        assurance = Assurance.SESSION if risk.level in _NEEDS_SESSION else Assurance.CHAT
        return Ruling(
            rule=NAME,
            verdict=RuleVerdict.ASK,
            risk=risk,
            terms=Terms(required_assurance=assurance),
            explanation="No rule says otherwise, so one approver is asked.",
        )
