"""Makes capability tokens, good and deliberately bad, for the tests."""

import json
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hitl_contract.action import Action, action_digest, parse_action
from hitl_contract.canonical import base64url_encode
from hitl_contract.capability import Approver, CapabilityClaims, claims_to_json
from hitl_contract.keys import PublicKeys, key_id
from hitl_contract.verify import VerificationPolicy

PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = PublicKeys([PRIVATE_KEY.public_key()])
KEY_ID = key_id(PRIVATE_KEY.public_key())
ISSUER, AUDIENCE, NOW = "https://approvals.example", "executor", 1_800_000_000
POLICY = VerificationPolicy(ISSUER, AUDIENCE, leeway_seconds=10)
ACTION: Action = parse_action({"type": "code_execution", "language": "python", "code": "print(6*7)"})
CLAIMS = CapabilityClaims(
    issuer=ISSUER,
    audience=AUDIENCE,
    subject="agent",
    token_id="tok_1",
    issued_at=NOW,
    not_before=NOW,
    expires_at=NOW + 300,
    request_id="req_1",
    action_type=ACTION.type,
    action_digest=action_digest(ACTION),
    approved_by=(Approver("ada", "web", "session"),),
)


def claims(**changes: Any) -> CapabilityClaims:
    """The usual claims, changed."""
    return replace(CLAIMS, **changes)


def header(**changes: Any) -> dict[str, Any]:
    """The usual header, changed; a value of ``None`` removes the parameter."""
    merged = {"alg": "EdDSA", "typ": "cap+jwt", "kid": KEY_ID, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def payload(**changes: Any) -> dict[str, Any]:
    """The usual claims as JSON, changed; a value of ``None`` removes the claim."""
    merged = {**claims_to_json(CLAIMS), **changes}
    return {name: value for name, value in merged.items() if value is not None}


def compact(
    header_json: str | dict[str, Any], payload_json: str | dict[str, Any], key: Any = PRIVATE_KEY
) -> str:
    """Sign any header and payload with Ed25519, without any check."""
    parts = [part if isinstance(part, str) else json.dumps(part) for part in (header_json, payload_json)]
    signed = ".".join(base64url_encode(part.encode()) for part in parts)
    return f"{signed}.{base64url_encode(key.sign(signed.encode()))}"
