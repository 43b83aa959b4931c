"""Rules whose terms a test chooses, and requests under them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.models import ApprovalRequest, RequestStatus, Submission
from hitl_mcp.approvals.terms import (
    AgentFacts,
    EscalationLevel,
    QuietHours,
    RiskAssessment,
    RuleVerdict,
    Ruling,
    Terms,
)
from tests.approvals.world import program

HOUR = 3600
NIGHT = QuietHours(time(22), time(7), "Europe/Berlin")


@dataclass
class OnTerms:
    """Implements `ports.Policy`: ask people on these terms."""

    terms: Terms
    required: int = 1

    async def evaluate(self, agent: AgentFacts, submission: Submission, risk: RiskAssessment) -> Ruling:
        return Ruling("on-terms", RuleVerdict.ASK, risk, self.terms)


def escalating(*seconds: int, **terms: object) -> Terms:
    """Terms with one level after each of these times: the group `level-1`, the person `boss-1`, and so on."""
    levels = tuple(
        EscalationLevel(after, (f"level-{number}",), (f"boss-{number}",))
        for number, after in enumerate(seconds, 1)
    )
    return replace(Terms(escalation=levels), **terms)  # type: ignore[arg-type]


def asked(
    terms: Terms,
    *,
    at: datetime = datetime(2030, 6, 3, 12, tzinfo=UTC),
    timeout: int = HOUR,
    risk: RiskLevel = RiskLevel.MEDIUM,
) -> ApprovalRequest:
    """A pending request as its rule made it, never stored."""
    return ApprovalRequest(
        request_id="req_a",
        agent="agent-1",
        action=program(),
        action_digest="sha-256:a",
        display_digest="sha-256:d",
        justification="why",
        summary=None,
        risk_level=risk,
        status=RequestStatus.PENDING,
        policy="on-terms",
        required_approvals=1,
        required_assurance=Assurance.CHAT,
        created_at=at,
        expires_at=at + timedelta(seconds=timeout),
        decided_at=None,
        valid_until=None,
        token_id=None,
        revoked_at=None,
        ended_by=None,
        ended_reason=None,
        trace_id=None,
        metadata={},
        version=1,
        seal="",
        terms=terms,
    )
