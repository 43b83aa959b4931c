"""The minter: signs capability tokens for approvals that have proven themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from hitl_contract.capability import Approver, CapabilityClaims, encode_capability
from hitl_mcp.approvals.models import IssuedToken
from hitl_mcp.approvals.proof import ProvenApproval
from hitl_mcp.minting.keys import SigningKey


class CapabilityMinter:
    """Implements `approvals.ports.Minter`. `signing_key` gives the key that is active at each call."""

    def __init__(self, *, signing_key: Callable[[], SigningKey], issuer: str, audience: str) -> None:
        self._signing_key = signing_key
        self._issuer = issuer
        self._audience = audience

    def mint(self, approval: ProvenApproval, *, issued_at: int, expires_at: int) -> IssuedToken:
        request = approval.request
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
            approved_by=tuple(
                Approver(person=each.person, channel=each.channel, assurance=each.assurance.value)
                for each in approval.approvals
            ),
        )
        key = self._signing_key()
        token = encode_capability(claims, private_key=key.private, key_id=key.key_id)
        return IssuedToken(token, datetime.fromtimestamp(expires_at, UTC), approval.token_id)
