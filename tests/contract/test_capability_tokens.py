"""The verification checklist: every step can refuse, and only the right token passes."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from hitl_contract.action import parse_action
from hitl_contract.canonical import base64url_encode
from hitl_contract.capability import (
    MAX_TOKEN_BYTES,
    Approver,
    claims_from_json,
    claims_to_json,
    encode_capability,
)
from hitl_contract.errors import RefusalCode, TokenRefused
from hitl_contract.keys import PublicKeys, key_id
from hitl_contract.verify import VerificationPolicy, check_times, verify_capability, verify_token
from tests.contract.tokens import (
    ACTION,
    CLAIMS,
    KEY_ID,
    KEYS,
    NOW,
    POLICY,
    PRIVATE_KEY,
    claims,
    compact,
    header,
    payload,
)

STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))


def refusal(token: str, *, now: float = NOW) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        verify_token(token, keys=KEYS, policy=POLICY, now=now)
    return caught.value


def test_a_good_token_verifies_and_carries_its_claims() -> None:
    token = encode_capability(CLAIMS, private_key=PRIVATE_KEY, key_id=KEY_ID)
    verified = verify_capability(token, ACTION, keys=KEYS, policy=POLICY, now=NOW)
    assert verified.token.claims == CLAIMS
    assert verified.token.key_id == KEY_ID


def test_the_times_of_a_verified_token_can_be_checked_again_later() -> None:
    token = encode_capability(CLAIMS, private_key=PRIVATE_KEY, key_id=KEY_ID)
    verified = verify_token(token, keys=KEYS, policy=POLICY, now=NOW)
    check_times(verified, policy=POLICY, now=NOW)
    with pytest.raises(TokenRefused) as caught:
        check_times(verified, policy=POLICY, now=CLAIMS.expires_at + POLICY.leeway_seconds)
    assert caught.value.code is RefusalCode.EXPIRED


_texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60)


@given(
    _texts,
    _texts,
    st.lists(st.builds(Approver, _texts, _texts, _texts), min_size=1, max_size=3),
    st.none() | _texts,
    st.integers(1, 900),
)
def test_claims_round_trip_through_a_token(
    subject: str, request: str, approvers: list[Approver], thumbprint: str | None, lifetime: int
) -> None:
    wanted = claims(
        subject=subject,
        request_id=request,
        approved_by=tuple(approvers),
        key_thumbprint=thumbprint,
        expires_at=NOW + lifetime,
    )
    token = encode_capability(wanted, private_key=PRIVATE_KEY, key_id=KEY_ID)
    assert verify_token(token, keys=KEYS, policy=POLICY, now=NOW).claims == wanted
    assert claims_from_json(json.loads(json.dumps(claims_to_json(wanted)))) == wanted


def _hs256_with_the_public_key() -> str:
    signed = ".".join(
        base64url_encode(json.dumps(part).encode()) for part in (header(alg="HS256"), payload())
    )
    secret = PRIVATE_KEY.public_key().public_bytes_raw()
    return f"{signed}.{base64url_encode(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def _unsigned(algorithm: str) -> str:
    return ".".join(
        [*(base64url_encode(json.dumps(part).encode()) for part in (header(alg=algorithm), payload())), ""]
    )


GOOD = encode_capability(CLAIMS, private_key=PRIVATE_KEY, key_id=KEY_ID)
STRANGERS_KEY_ID = key_id(STRANGER.public_key())
STRANGERS_JWK = PublicKeys([STRANGER.public_key()]).to_jwks()["keys"][0]

FORGERIES: dict[str, str] = {
    "empty": "",
    "not a token": "abc",
    "two parts": GOOD.rsplit(".", 1)[0],
    "four parts": GOOD + ".AAAA",
    "truncated": GOOD[:-1],
    "truncated in the claims": GOOD[:100] + GOOD[110:],
    "padded": GOOD + "==",
    "with white space": GOOD + "\n",
    "with another alphabet": GOOD.replace(".", ".+", 1),
    "non-ASCII": GOOD + "é",
    "oversized": GOOD + "A" * MAX_TOKEN_BYTES,
    "none": _unsigned("none"),
    "None": _unsigned("None"),
    "EdDSA without signature": _unsigned("EdDSA"),
    "HS256 with the public key as secret": _hs256_with_the_public_key(),
    "ES256 named": compact(header(alg="ES256"), payload()),
    "Ed25519 named": compact(header(alg="Ed25519"), payload()),
    "alg missing": compact(header(alg=None), payload()),
    "alg a list": compact(header(alg=["EdDSA"]), payload()),
    "typ JWT": compact(header(typ="JWT"), payload()),
    "typ missing": compact(header(typ=None), payload()),
    "typ in capitals": compact(header(typ="CAP+JWT"), payload()),
    "kid unknown": compact(header(kid=STRANGERS_KEY_ID), payload(), STRANGER),
    "kid missing": compact(header(kid=None), payload()),
    "kid a number": compact(header(kid=1), payload()),
    "kid a path": compact(header(kid="../../etc/passwd"), payload()),
    "signed by a stranger under a known kid": compact(header(), payload(), STRANGER),
    "embedded jwk": compact(header(jwk=STRANGERS_JWK), payload(), STRANGER),
    "embedded jwk, signed well": compact(header(jwk=STRANGERS_JWK), payload()),
    "jku": compact(header(jku="https://evil.example/jwks.json"), payload()),
    "x5u": compact(header(x5u="https://evil.example/x"), payload()),
    "x5c": compact(header(x5c=["AA=="]), payload()),
    "crit": compact(header(crit=["exp"]), payload()),
    "crit b64": compact(header(crit=["b64"], b64=False), payload()),
    "zip": compact(header(zip="DEF"), payload()),
    "header twice alg": compact(json.dumps(header())[:-1] + ',"alg":"none"}', payload()),
    "header no object": compact('["EdDSA"]', payload()),
    "header no JSON": compact("{", payload()),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_token_gets_one_flat_refusal(name: str) -> None:
    error = refusal(FORGERIES[name])
    assert error.code is RefusalCode.INVALID_TOKEN
    assert error.detail == refusal("abc").detail


MALFORMED: dict[str, str | dict[str, Any]] = {
    "no JSON": "{",
    "a list": "[]",
    "claim twice": json.dumps(payload())[:-1] + ',"sub":"other"}',
    "unknown claim": payload(admin=True),
    "iss missing": payload(iss=None),
    "aud a list": payload(aud=["executor"]),
    "jti empty": payload(jti=""),
    "jti too long": payload(jti="x" * 600),
    "exp a text": payload(exp=str(NOW + 300)),
    "exp a float": payload(exp=NOW + 0.5),
    "exp a boolean": payload(exp=True),
    "exp missing": payload(exp=None),
    "iat negative": payload(iat=-1),
    "lifetime too long": payload(exp=NOW + 901),
    "lifetime zero": payload(exp=NOW),
    "details missing": payload(authorization_details=None),
    "details empty": payload(authorization_details=[]),
    "details two": payload(authorization_details=payload()["authorization_details"] * 2),
    "details another type": payload(
        authorization_details=[{**payload()["authorization_details"][0], "type": "payment"}]
    ),
    "details with more": payload(authorization_details=[{**payload()["authorization_details"][0], "x": 1}]),
    "nobody approved": payload(approved_by=[]),
    "approver a text": payload(approved_by=["ada"]),
    "approver with more": payload(
        approved_by=[{"person": "ada", "channel": "web", "assurance": "session", "x": 1}]
    ),
    "cnf empty": payload(cnf={}),
    "cnf with a key": payload(cnf={"jwk": {}}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_well_signed_but_malformed_claims_are_refused_with_the_claim_named(name: str) -> None:
    error = refusal(compact(header(), MALFORMED[name]))
    assert error.code is RefusalCode.INVALID_TOKEN
    assert error.detail != refusal("abc").detail


@pytest.mark.parametrize(
    ("changes", "now", "code"),
    [
        ({"issuer": "https://other.example"}, NOW, RefusalCode.WRONG_ISSUER),
        ({"audience": "executor2"}, NOW, RefusalCode.WRONG_AUDIENCE),
        ({}, NOW + 310, RefusalCode.EXPIRED),
        ({}, NOW - 11, RefusalCode.NOT_YET_VALID),
        ({"not_before": NOW + 60}, NOW, RefusalCode.NOT_YET_VALID),
        ({"issued_at": NOW + 60, "expires_at": NOW + 90}, NOW, RefusalCode.NOT_YET_VALID),
    ],
)
def test_behind_a_good_signature_the_reason_is_precise(
    changes: dict[str, Any], now: int, code: RefusalCode
) -> None:
    token = encode_capability(claims(**changes), private_key=PRIVATE_KEY, key_id=KEY_ID)
    assert refusal(token, now=now).code is code


@pytest.mark.parametrize("now", [NOW - 10, NOW, NOW + 309.9])
def test_the_leeway_covers_small_clock_differences(now: float) -> None:
    assert verify_token(GOOD, keys=KEYS, policy=POLICY, now=now)


def test_a_leeway_above_thirty_seconds_is_no_policy() -> None:
    with pytest.raises(ValueError, match="30"):
        VerificationPolicy("i", "a", leeway_seconds=31)


def test_an_action_other_than_the_tokens_is_a_mismatch_that_names_both_digests() -> None:
    other = parse_action({"type": "code_execution", "language": "python", "code": "print(6*8)"})
    with pytest.raises(TokenRefused) as caught:
        verify_capability(GOOD, other, keys=KEYS, policy=POLICY, now=NOW)
    assert caught.value.code is RefusalCode.ACTION_MISMATCH
    assert CLAIMS.action_digest in caught.value.detail


def test_a_digest_under_another_action_type_is_a_mismatch() -> None:
    token = encode_capability(claims(action_type="generic"), private_key=PRIVATE_KEY, key_id=KEY_ID)
    with pytest.raises(TokenRefused, match="action_mismatch"):
        verify_capability(token, ACTION, keys=KEYS, policy=POLICY, now=NOW)


def test_a_token_of_a_removed_key_is_refused() -> None:
    with pytest.raises(TokenRefused, match="invalid_token"):
        verify_token(GOOD, keys=PublicKeys([STRANGER.public_key()]), policy=POLICY, now=NOW)


@given(st.integers(0, len(GOOD) - 1), st.sampled_from("ABab01-_."))
def test_any_changed_character_is_refused(position: int, replacement: str) -> None:
    changed = GOOD[:position] + replacement + GOOD[position + 1 :]
    if changed != GOOD:
        assert refusal(changed).code is RefusalCode.INVALID_TOKEN


@given(st.text(max_size=200))
def test_any_text_at_all_is_refused_flatly(text: str) -> None:
    assert refusal(text).code is RefusalCode.INVALID_TOKEN


@pytest.mark.parametrize("lifetime", [0, -1, 901])
def test_a_lifetime_out_of_bounds_is_never_encoded(lifetime: int) -> None:
    with pytest.raises(ValueError, match="900"):
        encode_capability(claims(expires_at=NOW + lifetime), private_key=PRIVATE_KEY, key_id=KEY_ID)


def test_a_token_too_long_to_be_accepted_is_never_encoded() -> None:
    many = tuple(Approver(f"person-{index}" * 20, "web", "session") for index in range(32))
    with pytest.raises(ValueError, match=str(MAX_TOKEN_BYTES)):
        encode_capability(claims(approved_by=many), private_key=PRIVATE_KEY, key_id=KEY_ID)
