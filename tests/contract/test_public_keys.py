"""Key sets: only Ed25519 public signature keys under their own thumbprints are trusted."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hitl_contract.canonical import base64url_decode
from hitl_contract.errors import InvalidKeySet
from hitl_contract.keys import MAX_KEYS, PublicKeys, key_id
from tests.contract.tokens import KEY_ID, KEYS, PRIVATE_KEY

GOOD: dict[str, Any] = dict(KEYS.to_jwks()["keys"][0])


def test_the_key_id_is_the_thumbprint_of_rfc_8037_appendix_a3() -> None:
    public = base64url_decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
    assert key_id(Ed25519PublicKey.from_public_bytes(public)) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_published_set_reads_back() -> None:
    other = Ed25519PrivateKey.generate().public_key()
    keys = PublicKeys([PRIVATE_KEY.public_key(), other])
    again = PublicKeys.from_jwks(keys.to_jwks())
    assert set(again) == {KEY_ID, key_id(other)}
    assert len(again) == 2
    assert again.get(KEY_ID) is not None
    assert again.get("unknown") is None


def test_only_a_known_keys_own_signature_counts() -> None:
    signature = PRIVATE_KEY.sign(b"message")
    assert KEYS.signed(KEY_ID, signature, b"message")
    assert not KEYS.signed(KEY_ID, signature, b"other")
    assert not KEYS.signed("unknown", signature, b"message")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"d": "AAAA"}, "private"),
        ({"kty": "RSA"}, "Ed25519"),
        ({"kty": "oct", "k": "AAAA"}, "Ed25519"),
        ({"crv": "X25519"}, "Ed25519"),
        ({"use": "enc"}, "signatures"),
        ({"alg": "HS256"}, "signatures"),
        ({"x": "AAAA"}, "unreadable"),
        ({"x": None}, "unreadable"),
        ({"x": GOOD["x"] + "="}, "unreadable"),
        ({"kid": "mine"}, "thumbprint"),
    ],
)
def test_a_key_that_is_not_plainly_ours_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidKeySet, match=reason):
        PublicKeys.from_jwks({"keys": [{**GOOD, **change}]})


@pytest.mark.parametrize(
    "document", [None, [], {}, {"keys": {}}, {"keys": ["x"]}, {"keys": [GOOD] * (MAX_KEYS + 1)}]
)
def test_what_is_no_key_set_is_refused(document: object) -> None:
    with pytest.raises(InvalidKeySet):
        PublicKeys.from_jwks(document)
