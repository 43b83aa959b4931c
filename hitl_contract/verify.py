"""The verification of a capability token, as a numbered checklist."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from hitl_contract.action import Action, action_digest
from hitl_contract.canonical import base64url_decode, parse_strict_json
from hitl_contract.capability import (
    ALGORITHM,
    MAX_LIFETIME_SECONDS,
    MAX_TOKEN_BYTES,
    TOKEN_TYPE,
    CapabilityClaims,
    MalformedClaims,
    claims_from_json,
)
from hitl_contract.errors import CanonicalizationError, RefusalCode, TokenRefused
from hitl_contract.keys import PublicKeys

MAX_LEEWAY_SECONDS: Final = 30
_FLAT: Final = "the capability token is not valid; ask for approval again with request_approval"


@dataclass(frozen=True, slots=True)
class VerificationPolicy:
    """Whom a verifier trusts and whom it is. ``leeway_seconds`` bounds clock difference, at most 30."""

    issuer: str
    audience: str
    leeway_seconds: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.leeway_seconds <= MAX_LEEWAY_SECONDS:
            raise ValueError(
                f"leeway_seconds is {self.leeway_seconds}; 0 to {MAX_LEEWAY_SECONDS} are allowed"
            )


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature, type, issuer, audience and times hold. It is bound to no action yet."""

    claims: CapabilityClaims
    key_id: str


@dataclass(frozen=True, slots=True)
class VerifiedCapability:
    """A verified token and the very action that it names."""

    token: VerifiedToken
    action: Action
    action_digest: str


def verify_token(token: str, *, keys: PublicKeys, policy: VerificationPolicy, now: float) -> VerifiedToken:
    """Verify all of a token but its action (RFC 7515, 7519, 8725).

    1. Size and shape: at most ``MAX_TOKEN_BYTES``, three canonical base64url parts.
    2. Header: exactly ``alg`` EdDSA, ``typ`` cap+jwt and ``kid``; nothing embedded, nothing critical, nothing
       twice (RFC 8725 3.1, 3.10).
    3. ``kid`` names a key that this verifier knows already.
    4. The signature is that key's, by that one algorithm.
    5. Claims: strict JSON, all present, none unknown, each of its type; a lifetime within bounds.
    6. ``iss`` is the trusted issuer.
    7. ``aud`` is this verifier.
    8. ``nbf`` and ``iat`` have come and ``exp`` has not, within the leeway.

    Raises:
        TokenRefused: ``invalid_token`` without a reason up to step 4, a precise reason after it.
    """
    header = _header(token)  # 1, 2
    key = keys.get(cast("str", header["kid"]))
    if key is None:  # 3
        raise _flat_refusal()
    try:  # 4
        payload = PyJWS().decode(token, key, algorithms=[ALGORITHM])
    except (PyJWTError, ValueError) as error:
        raise _flat_refusal() from error
    claims = _claims(cast("bytes", payload))  # 5
    if not hmac.compare_digest(claims.issuer.encode(), policy.issuer.encode()):  # 6
        raise TokenRefused(
            RefusalCode.WRONG_ISSUER,
            f"the token is from {claims.issuer!a}; this executor trusts {policy.issuer!a}",
        )
    if not hmac.compare_digest(claims.audience.encode(), policy.audience.encode()):  # 7
        raise TokenRefused(
            RefusalCode.WRONG_AUDIENCE,
            f"the token is for {claims.audience!a}; this executor is {policy.audience!a}",
        )
    _check_times(claims, now, policy.leeway_seconds)  # 8
    return VerifiedToken(claims, cast("str", header["kid"]))


def check_times(token: VerifiedToken, *, policy: VerificationPolicy, now: float) -> None:
    """Step 8 of :func:`verify_token` again, for a verifier that made the token wait after it was verified.

    Raises:
        TokenRefused: ``expired`` or ``not_yet_valid``.
    """
    _check_times(token.claims, now, policy.leeway_seconds)


def bind_action(verified: VerifiedToken, action: Action) -> VerifiedCapability:
    """Bind a verified token to an action: type and digest must both be the token's.

    Raises:
        TokenRefused: ``action_mismatch``, naming both digests.
    """
    digest = action_digest(action)
    claims = verified.claims
    if (
        not hmac.compare_digest(digest.encode(), claims.action_digest.encode())
        or action.type != claims.action_type
    ):
        raise TokenRefused(
            RefusalCode.ACTION_MISMATCH,
            f"the token allows the action {claims.action_digest}, and this one is {digest}; "
            "send the action exactly as it was approved, or leave it out",
        )
    return VerifiedCapability(verified, action, digest)


def verify_capability(
    token: str, action: Action, *, keys: PublicKeys, policy: VerificationPolicy, now: float
) -> VerifiedCapability:
    """:func:`verify_token`, then :func:`bind_action`.

    Raises:
        TokenRefused: as those do.
    """
    return bind_action(verify_token(token, keys=keys, policy=policy, now=now), action)


def _header(token: str) -> Mapping[str, object]:
    parts = token.split(".") if len(token) <= MAX_TOKEN_BYTES and token.isascii() else []
    if len(parts) != 3 or not all(parts):
        raise _flat_refusal()
    try:
        decoded = [base64url_decode(part) for part in parts]
        header = parse_strict_json(decoded[0])
    except (ValueError, CanonicalizationError) as error:
        raise _flat_refusal() from error
    if not isinstance(header, dict):
        raise _flat_refusal()
    fields = cast("dict[str, object]", header)
    well_formed = set(fields) == {"alg", "typ", "kid"} and isinstance(fields["kid"], str)
    if not well_formed or fields["alg"] != ALGORITHM or fields["typ"] != TOKEN_TYPE:
        raise _flat_refusal()
    return fields


def _claims(payload: bytes) -> CapabilityClaims:
    try:
        claims = claims_from_json(parse_strict_json(payload))
    except (MalformedClaims, CanonicalizationError) as error:
        raise TokenRefused(RefusalCode.INVALID_TOKEN, f"the token's claims are malformed: {error}") from error
    if not 0 < claims.expires_at - claims.issued_at <= MAX_LIFETIME_SECONDS:
        raise TokenRefused(
            RefusalCode.INVALID_TOKEN, f"the token's lifetime must be at most {MAX_LIFETIME_SECONDS} seconds"
        )
    return claims


def _check_times(claims: CapabilityClaims, now: float, leeway: int) -> None:
    if now >= claims.expires_at + leeway:
        raise TokenRefused(
            RefusalCode.EXPIRED,
            f"the token expired {now - claims.expires_at:.0f} s ago; "
            "check_status gives a fresh one while the approval itself is valid",
        )
    if now < claims.not_before - leeway or now < claims.issued_at - leeway:
        raise TokenRefused(
            RefusalCode.NOT_YET_VALID, "the token is not valid yet; compare the two servers' clocks"
        )


def _flat_refusal() -> TokenRefused:
    return TokenRefused(RefusalCode.INVALID_TOKEN, _FLAT)
