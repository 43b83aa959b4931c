"""The list of tokens that were withdrawn before they expired: a short-lived JWT that executors read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.api_jws import PyJWS

from hitl_contract.canonical import base64url_decode, parse_strict_json
from hitl_contract.capability import ALGORITHM
from hitl_contract.errors import CanonicalizationError, ContractError
from hitl_contract.keys import PublicKeys

LIST_TYPE: Final = "revoked-tokens+jwt"
LIST_LIFETIME_SECONDS: Final = 60
MAX_LIST_BYTES: Final = 4 * 1024 * 1024


class RevocationListRefused(ContractError):
    """The list is malformed, not signed by a known key, of another issuer, or not of this moment."""


@dataclass(frozen=True, slots=True)
class RevocationList:
    """Which tokens of an issuer are withdrawn. Times are POSIX seconds."""

    issuer: str
    issued_at: int
    expires_at: int
    token_ids: frozenset[str]


def encode_revocations(
    *, issuer: str, token_ids: Iterable[str], issued_at: int, private_key: Ed25519PrivateKey, key_id: str
) -> str:
    """Return the compact JWS of the list, good for `LIST_LIFETIME_SECONDS`."""
    claims = {
        "iss": issuer,
        "iat": issued_at,
        "exp": issued_at + LIST_LIFETIME_SECONDS,
        "revoked": sorted(set(token_ids)),
    }
    payload = json.dumps(claims, separators=(",", ":"), sort_keys=True).encode()
    return PyJWS().encode(
        payload, private_key, algorithm=ALGORITHM, headers={"typ": LIST_TYPE, "kid": key_id}
    )


def named_key_of_list(text: str) -> str | None:
    """The kid in the list's header, before anything is verified."""
    try:
        header = parse_strict_json(base64url_decode(text.partition(".")[0]))
    except (ValueError, CanonicalizationError):
        return None
    kid = cast("dict[str, object]", header).get("kid") if isinstance(header, dict) else None
    return kid if isinstance(kid, str) else None


def decode_revocations(
    text: str, *, keys: PublicKeys, issuer: str, now: float, leeway_seconds: int
) -> RevocationList:
    """Check a list and return it.

    1. It has three parts, and a header of exactly this type, this algorithm and a key id.
    2. That key signed it.
    3. It is the issuer's and of this moment.

    Raises:
        RevocationListRefused: saying what is wrong.
    """
    try:
        header_part, payload_part, signature_part = text.split(".")
        header = parse_strict_json(base64url_decode(header_part))
        payload = base64url_decode(payload_part)
        signature = base64url_decode(signature_part)
    except (ValueError, CanonicalizationError):
        raise RevocationListRefused("the revocation list is not a compact JWS") from None
    kid = cast("dict[str, object]", header).get("kid") if isinstance(header, dict) else None
    if header != {"alg": ALGORITHM, "typ": LIST_TYPE, "kid": kid} or not isinstance(kid, str):  # 1
        raise RevocationListRefused("the revocation list has another header than it must have")
    if not keys.signed(kid, signature, f"{header_part}.{payload_part}".encode()):  # 2
        raise RevocationListRefused("the revocation list is not signed by a key that the issuer publishes")
    found = _claims(payload)
    if found.issuer != issuer:  # 3
        raise RevocationListRefused("the revocation list is another issuer's")
    if not found.issued_at - leeway_seconds <= now < found.expires_at + leeway_seconds:
        raise RevocationListRefused("the revocation list is not of this moment")
    return found


def _claims(payload: bytes) -> RevocationList:
    try:
        claims = parse_strict_json(payload)
    except CanonicalizationError:
        raise RevocationListRefused("the revocation list is not JSON") from None
    fields = cast("dict[str, object]", claims) if isinstance(claims, dict) else {}
    issuer, issued_at, expires_at = (fields.get(name) for name in ("iss", "iat", "exp"))
    revoked = fields.get("revoked")
    if (
        set(fields) != {"iss", "iat", "exp", "revoked"}
        or not isinstance(issuer, str)
        or type(issued_at) is not int
        or type(expires_at) is not int
        or not isinstance(revoked, list)
        or not all(isinstance(each, str) for each in cast("list[object]", revoked))
    ):
        raise RevocationListRefused("the revocation list lacks a claim, or has one of the wrong type")
    return RevocationList(issuer, issued_at, expires_at, frozenset(cast("list[str]", revoked)))
