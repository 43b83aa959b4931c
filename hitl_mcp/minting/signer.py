"""The minter: signs capability tokens for approvals that have proven themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from hitl_contract.capability import Approver, CapabilityClaims, encode_capability
from hitl_mcp.approvals.errors import NotApproved
from hitl_mcp.approvals.models import IssuedToken, RequestKind
from hitl_mcp.approvals.proof import ApprovalWay, ProvenApproval
from hitl_mcp.approvals.terms import OnTimeout
from hitl_mcp.minting.keys import SigningKey


class CapabilityMinter:
    """Implements `approvals.ports.Minter`. `signing_key` gives the key that is active at each call."""

    def __init__(self, *, signing_key: Callable[[], SigningKey], issuer: str, audience: str) -> None:
        self._signing_key = signing_key
        self._issuer = issuer
        self._audience = audience

    def mint(self, approval: ProvenApproval, *, issued_at: int, expires_at: int) -> IssuedToken:
        request = approval.request
        if request.kind is not RequestKind.ACTION:
            # No proof is of anything else; whatever changes about that, a drill or a question opens nothing.
            raise NotApproved(request.request_id, request.status.value)
        claims = CapabilityClaims(
            issuer=self._issuer,
            audience=self._audience,
            subject=request.agent,
            token_id=approval.token_id,
            issued_at=issued_at,
            not_before=issued_at,
            expires_at=expires_at,
            request_id=request.request_id,
            action_type=request.action.type,
            action_digest=request.action_digest,
            approved_by=_approvers(approval),
        )
        key = self._signing_key()
        token = encode_capability(claims, private_key=key.private, key_id=key.key_id)
        return IssuedToken(token, datetime.fromtimestamp(expires_at, UTC), approval.token_id)


def _approvers(approval: ProvenApproval) -> tuple[Approver, ...]:
    """Who said yes. Where nobody did, the rule says so itself, so that no reader takes it for a person."""
    rule = f"rule:{approval.request.policy}"
    match approval.way:
        case ApprovalWay.PEOPLE:
            return tuple(
                Approver(person=each.person, channel=each.channel, assurance=each.assurance.value)
                for each in approval.approvals
            )
        case ApprovalWay.RULE:
            return (Approver(person=rule, channel="rule", assurance="rule"),)
        case ApprovalWay.GRANT:
            assert approval.grant is not None
            grant = approval.grant
            return (Approver(person=grant.person, channel="grant", assurance=grant.assurance.value),)
        case ApprovalWay.SILENCE:
            return (Approver(person=rule, channel="timeout", assurance=OnTimeout.UNSAFE_AUTO_APPROVE.value),)
