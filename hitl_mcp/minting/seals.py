"""Seals: HMAC-SHA-256 over stored rows, under a key that never enters the database.

Whoever writes the database without this key can neither make a row nor edit or move one: the seal covers the
kind of row and every field that gives it meaning. What a seal cannot show is a row that was deleted or set
back to an older sealed form; `approvals.proof` compares with the audit trail for that.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from hitl_contract.canonical import base64url_encode, canonical_json
from hitl_mcp.approvals.models import ApprovalRequest, Decision

SEAL_KEY_BYTES: Final = 32
_PREFIX: Final = "hmac-sha256:"


class RecordSealer:
    """Seals rows of any kind; `kind` keeps a seal of one kind from passing for another."""

    def __init__(self, key: bytes) -> None:
        if len(key) != SEAL_KEY_BYTES:
            raise ValueError(f"a seal key has {SEAL_KEY_BYTES} bytes, not {len(key)}")
        self._key = key

    def seal(self, kind: str, fields: Mapping[str, object]) -> str:
        """The seal of `fields`, a JSON object of strings, integers, None and the like.

        Raises hitl_contract.errors.CanonicalizationError for what has no RFC 8785 form.
        """
        message = canonical_json({"kind": kind, "fields": fields})
        return _PREFIX + base64url_encode(hmac.digest(self._key, message, hashlib.sha256))

    def holds(self, kind: str, fields: Mapping[str, object], seal: str) -> bool:
        """Whether `seal` was made for exactly this."""
        return hmac.compare_digest(self.seal(kind, fields).encode(), seal.encode("utf-8", "replace"))


class ApprovalSealer:
    """Implements `approvals.sealer.Sealer`."""

    def __init__(self, sealer: RecordSealer) -> None:
        self._sealer = sealer

    def seal_request(self, request: ApprovalRequest) -> str:
        return self._sealer.seal("request", _request_fields(request))

    def request_holds(self, request: ApprovalRequest) -> bool:
        return self._sealer.holds("request", _request_fields(request), request.seal)

    def seal_decision(self, decision: Decision) -> str:
        return self._sealer.seal("decision", _decision_fields(decision))

    def decision_holds(self, decision: Decision) -> bool:
        return self._sealer.holds("decision", _decision_fields(decision), decision.seal)

    def token_id(self, request_id: str) -> str:
        # Derived, not stored: a database set back or edited cannot get a second jti, thus a second run.
        return "tok_" + self._sealer.seal("token-id", {"request_id": request_id}).removeprefix(_PREFIX)


def sealed_time(moment: datetime) -> str:
    """The one text form of an instant under a seal: UTC, microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _request_fields(request: ApprovalRequest) -> dict[str, object]:
    return {
        "request_id": request.request_id,
        "agent": request.agent,
        "action_digest": request.action_digest,
        "display_digest": request.display_digest,
        "justification": request.justification,
        "summary": request.summary,
        "risk_level": request.risk_level.value,
        "policy": request.policy,
        "required_approvals": request.required_approvals,
        "required_assurance": request.required_assurance.value,
        "created_at": sealed_time(request.created_at),
        "expires_at": sealed_time(request.expires_at),
    }


def _decision_fields(decision: Decision) -> dict[str, object]:
    return {
        "decision_id": decision.decision_id,
        "request_id": decision.request_id,
        "action_digest": decision.action_digest,
        "display_digest": decision.display_digest,
        "person": decision.person,
        "verdict": decision.verdict.value,
        "reason": decision.reason,
        "conditions": decision.conditions,
        "channel": decision.channel,
        "assurance": decision.assurance.value,
        "evidence": dict(decision.evidence),
        "decided_at": sealed_time(decision.decided_at),
    }
