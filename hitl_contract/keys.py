"""Public keys: Ed25519 JSON Web Keys (RFC 8037) and sets of them (RFC 7517)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Self, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hitl_contract.canonical import base64url_decode, base64url_encode, canonical_json, digest_of_bytes
from hitl_contract.errors import InvalidKeySet

MAX_KEYS = 64


def key_id(public: Ed25519PublicKey) -> str:
    """Return the key's RFC 7638 thumbprint."""
    thumbprint = canonical_json(
        {"crv": "Ed25519", "kty": "OKP", "x": base64url_encode(public.public_bytes_raw())}
    )
    return digest_of_bytes(thumbprint).removeprefix("sha-256:")


class PublicKeys:
    """An immutable set of Ed25519 public keys, found by key id."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys: Mapping[str, Ed25519PublicKey] = MappingProxyType({key_id(key): key for key in keys})

    @classmethod
    def from_jwks(cls, value: object) -> Self:
        """Read a JSON Web Key Set.

        Raises:
            InvalidKeySet: it is no key set, or one of its keys is private, is not an Ed25519 signature key,
                or has a ``kid`` that is not its own thumbprint.
        """
        entries = cast("Mapping[str, object]", value).get("keys") if isinstance(value, Mapping) else None
        if not isinstance(entries, list):
            raise InvalidKeySet('a key set is a JSON object with a list under "keys"')
        found = cast("list[object]", entries)
        if len(found) > MAX_KEYS:
            raise InvalidKeySet(f"the key set has {len(found)} keys; at most {MAX_KEYS} are read")
        return cls(_read_key(index, entry) for index, entry in enumerate(found))

    def to_jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the set as ``/.well-known/jwks.json`` publishes it."""
        return {
            "keys": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "use": "sig",
                    "alg": "EdDSA",
                    "kid": identifier,
                    "x": base64url_encode(key.public_bytes_raw()),
                }
                for identifier, key in self._keys.items()
            ]
        }

    def get(self, identifier: str) -> Ed25519PublicKey | None:
        """Return the key with this id, if the set has it."""
        return self._keys.get(identifier)

    def signed(self, identifier: str, signature: bytes, message: bytes) -> bool:
        """Tell whether the key with this id made the signature; an unknown key made none."""
        key = self._keys.get(identifier)
        if key is None:
            return False
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)


def _read_key(index: int, entry: object) -> Ed25519PublicKey:
    if not isinstance(entry, Mapping):
        raise InvalidKeySet(f"key {index} is not a JSON object")
    fields = cast("Mapping[str, object]", entry)
    if "d" in fields:
        raise InvalidKeySet(
            f"key {index} is a private key; publish only the public half, and replace this key"
        )
    if fields.get("kty") != "OKP" or fields.get("crv") != "Ed25519":
        raise InvalidKeySet(f"key {index} is not an Ed25519 key (kty OKP, crv Ed25519)")
    if fields.get("use", "sig") != "sig" or fields.get("alg", "EdDSA") != "EdDSA":
        raise InvalidKeySet(f"key {index} is not for EdDSA signatures")
    try:
        key = Ed25519PublicKey.from_public_bytes(base64url_decode(str(fields.get("x"))))
    except ValueError as error:
        raise InvalidKeySet(f"key {index} has an unreadable x") from error
    if fields.get("kid", key_id(key)) != key_id(key):
        raise InvalidKeySet(f"key {index} has a kid that is not its RFC 7638 thumbprint")
    return key
