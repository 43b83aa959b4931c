"""Tokens that were never minted: what somebody without the private key can make."""

from __future__ import annotations

import json
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.api_jws import PyJWS

from hitl_contract.canonical import base64url_decode, base64url_encode, parse_strict_json


def signed_by_a_stranger(token: str) -> str:
    """The same header and claims, naming the real key, signed by another one."""
    header, payload, _ = token.split(".")
    fields = cast("dict[str, str]", parse_strict_json(base64url_decode(header)))
    return PyJWS().encode(
        base64url_decode(payload),
        Ed25519PrivateKey.generate(),
        algorithm="EdDSA",
        headers={"typ": fields["typ"], "kid": fields["kid"]},
    )


def with_another_digest(token: str, digest: str) -> str:
    """The real token, its claims changed to name another action, under the old signature."""
    header, payload, signature = token.split(".")
    claims = cast("dict[str, list[dict[str, str]]]", parse_strict_json(base64url_decode(payload)))
    claims["authorization_details"][0]["digest"] = digest
    changed = base64url_encode(json.dumps(claims, separators=(",", ":")).encode())
    return f"{header}.{changed}.{signature}"


def expires_at(token: str) -> int:
    """The `exp` claim, in POSIX seconds."""
    claims = cast("dict[str, int]", parse_strict_json(base64url_decode(token.split(".")[1])))
    return claims["exp"]
