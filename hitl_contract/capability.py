"""The capability token: claims, encoding and decoding. No key is stored here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.api_jws import PyJWS

TOKEN_TYPE: Final = "cap+jwt"  # noqa: S105 - a media type
ALGORITHM: Final = "EdDSA"
DEFAULT_LIFETIME_SECONDS: Final = 300
MAX_LIFETIME_SECONDS: Final = 900
MAX_TOKEN_BYTES: Final = 8192
_DETAIL_TYPE: Final = "hitl_action"
_MAX_TEXT: Final = 512
_MAX_APPROVERS: Final = 32


@dataclass(frozen=True, slots=True)
class Approver:
    """Who said yes, over which channel, and how surely that person was known."""

    person: str
    channel: str
    assurance: str


@dataclass(frozen=True, slots=True)
class CapabilityClaims:
    """What a token says (RFC 7519 claims, RFC 9396 authorization details). Times are POSIX seconds."""

    issuer: str
    audience: str
    subject: str
    token_id: str
    issued_at: int
    not_before: int
    expires_at: int
    request_id: str
    action_type: str
    action_digest: str
    approved_by: tuple[Approver, ...]
    key_thumbprint: str | None = None


class MalformedClaims(ValueError):
    """The claims are not those of a capability token; the message names the claim."""


def encode_capability(claims: CapabilityClaims, *, private_key: Ed25519PrivateKey, key_id: str) -> str:
    """Return the compact JWS of the claims.

    Raises:
        ValueError: the lifetime is not positive or above ``MAX_LIFETIME_SECONDS``, or the token would be
            longer than ``MAX_TOKEN_BYTES``.
    """
    if not 0 < claims.expires_at - claims.issued_at <= MAX_LIFETIME_SECONDS:
        raise ValueError(f"a capability token lives between 1 and {MAX_LIFETIME_SECONDS} seconds")
    payload = json.dumps(claims_to_json(claims), separators=(",", ":"), sort_keys=True).encode("utf-8")
    header = {"typ": TOKEN_TYPE, "kid": key_id}
    token = PyJWS().encode(payload, private_key, algorithm=ALGORITHM, headers=header)
    if len(token) > MAX_TOKEN_BYTES:
        raise ValueError(
            f"the token would be {len(token)} bytes long; at most {MAX_TOKEN_BYTES} are accepted"
        )
    return token


def claims_to_json(claims: CapabilityClaims) -> dict[str, object]:
    """Return the claims under their registered names."""
    document: dict[str, object] = {
        "iss": claims.issuer,
        "aud": claims.audience,
        "sub": claims.subject,
        "jti": claims.token_id,
        "iat": claims.issued_at,
        "nbf": claims.not_before,
        "exp": claims.expires_at,
        "txn": claims.request_id,
        "authorization_details": [
            {"type": _DETAIL_TYPE, "action_type": claims.action_type, "digest": claims.action_digest}
        ],
        "approved_by": [
            {"person": one.person, "channel": one.channel, "assurance": one.assurance}
            for one in claims.approved_by
        ],
    }
    if claims.key_thumbprint is not None:
        document["cnf"] = {"jkt": claims.key_thumbprint}
    return document


def claims_from_json(document: object) -> CapabilityClaims:
    """Inverse of :func:`claims_to_json`: every claim present, none besides, each of its type.

    Raises:
        MalformedClaims: naming the claim.
    """
    claims = _object(document, "claims")
    allowed = {
        "iss",
        "aud",
        "sub",
        "jti",
        "iat",
        "nbf",
        "exp",
        "txn",
        "authorization_details",
        "approved_by",
        "cnf",
    }
    if unknown := set(claims) - allowed:
        raise MalformedClaims(f"unknown claim {min(unknown)[:50]!a}")
    details = _list(claims, "authorization_details", maximum=1)
    detail = _object(details[0] if details else None, "authorization_details")
    if set(detail) != {"type", "action_type", "digest"} or detail["type"] != _DETAIL_TYPE:
        raise MalformedClaims(
            f"authorization_details must hold one {_DETAIL_TYPE} with action_type and digest"
        )
    confirmation = _object(claims["cnf"], "cnf") if "cnf" in claims else None
    if confirmation is not None and set(confirmation) != {"jkt"}:
        raise MalformedClaims("cnf must hold jkt and nothing else")
    return CapabilityClaims(
        issuer=_text(claims, "iss"),
        audience=_text(claims, "aud"),
        subject=_text(claims, "sub"),
        token_id=_text(claims, "jti"),
        issued_at=_time(claims, "iat"),
        not_before=_time(claims, "nbf"),
        expires_at=_time(claims, "exp"),
        request_id=_text(claims, "txn"),
        action_type=_text(detail, "action_type"),
        action_digest=_text(detail, "digest"),
        approved_by=tuple(_approver(entry) for entry in _list(claims, "approved_by", maximum=_MAX_APPROVERS)),
        key_thumbprint=None if confirmation is None else _text(confirmation, "jkt"),
    )


def _approver(entry: object) -> Approver:
    fields = _object(entry, "approved_by")
    if set(fields) != {"person", "channel", "assurance"}:
        raise MalformedClaims("approved_by must hold person, channel and assurance")
    return Approver(_text(fields, "person"), _text(fields, "channel"), _text(fields, "assurance"))


def _object(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise MalformedClaims(f"{name} must be an object")
    return cast("dict[str, object]", value)


def _list(claims: Mapping[str, object], name: str, *, maximum: int) -> list[object]:
    value = claims.get(name)
    if not isinstance(value, list) or not 1 <= len(cast("list[object]", value)) <= maximum:
        raise MalformedClaims(f"{name} must be a list of 1 to {maximum} entries")
    return cast("list[object]", value)


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_TEXT:
        raise MalformedClaims(f"{name} must be a text of 1 to {_MAX_TEXT} characters")
    return value


def _time(claims: Mapping[str, object], name: str) -> int:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**53:
        raise MalformedClaims(f"{name} must be a whole number of seconds")
    return value
