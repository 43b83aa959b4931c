"""An answer of the approval server as the gate's view of a request; the same at every door."""

from __future__ import annotations

from hitl_mcp.gate.values import GateRequest
from hitl_mcp.interface.answers import ApprovalAnswer


def request_of(answer: ApprovalAnswer) -> GateRequest:
    return GateRequest(
        request_id=answer.request_id,
        status=answer.status,
        action_digest=answer.action_digest,
        risk_level=answer.risk_level,
        policy=answer.policy,
        required_approvals=answer.approvals.required,
        received_approvals=answer.approvals.received,
        expires_at=answer.expires_at,
        review_url=answer.review_url,
        explanation=answer.next_step,
    )
