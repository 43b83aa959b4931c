"""Ed25519 signatures: with the library `cryptography` where it is installed, and without any where not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, Final, cast

from server_kit.audit_verifier.encoding import Unreadable, base64url, canonical, from_base64url


class Keys:
    """The Ed25519 keys of a JSON Web Key Set (RFC 7517, RFC 8037), by their RFC 7638 thumbprint."""

    def __init__(self, document: object) -> None:
        try:
            entries = cast("list[dict[str, str]]", cast("dict[str, Any]", document)["keys"])
            publics = [from_base64url(entry["x"]) for entry in entries if entry["crv"] == "Ed25519"]
        except (KeyError, TypeError, ValueError) as error:
            raise Unreadable("the key set is no JSON Web Key Set of Ed25519 keys") from error
        self._keys = {_thumbprint(public): _checker(public) for public in publics}

    def signed(self, record: Mapping[str, Any], names: Sequence[str]) -> bool:
        """Whether `record`, of exactly these fields and a signature, is signed by the key it names."""
        signed_by = self._keys.get(str(record.get("key_id")))
        if signed_by is None or set(record) != {*names, "signature"}:
            return False
        try:
            signature = from_base64url(record["signature"])
            message = canonical({name: record[name] for name in names})
        except (ValueError, TypeError, RecursionError):
            return False
        return signed_by(signature, message)


def _thumbprint(public: bytes) -> str:
    key = {"crv": "Ed25519", "kty": "OKP", "x": base64url(public).decode()}
    return base64url(hashlib.sha256(canonical(key)).digest()).decode()


def _checker(public: bytes) -> Callable[[bytes, bytes], bool]:
    """What tells whether the Ed25519 key made a signature of a message."""
    if find_spec("cryptography") is None:
        return partial(signed_without_library, public)
    # A machine with Python alone does not have it.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(public)
    except ValueError:
        return lambda _signature, _message: False

    def signed(signature: bytes, message: bytes) -> bool:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return signed


# Ed25519 of RFC 8032 section 5.1, for machines that have Python and nothing else. Points are (x, y, z, t).
_Point = tuple[int, int, int, int]
_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P


def signed_without_library(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the Ed25519 key made the signature; slow, and without any library."""
    if len(public) != 32 or len(signature) != 64:
        return False
    key, commitment = _point(public), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= _ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _ORDER
    base = cast("_Point", _point(b"\x58" + b"\x66" * 31))
    left, right = _times(scalar, base), _plus(commitment, _times(challenge, key))
    return (
        (left[0] * right[2] - right[0] * left[2]) % _P == 0 == (left[1] * right[2] - right[1] * left[2]) % _P
    )


def _point(encoded: bytes) -> _Point | None:
    number = int.from_bytes(encoded, "little")
    y, sign = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if y >= _P or (x * x - square) % _P or (x == 0 and sign):
        return None
    x = _P - x if x & 1 != sign else x
    return x, y, 1, x * y % _P


def _plus(one: _Point, two: _Point) -> _Point:
    a, b = (one[1] - one[0]) * (two[1] - two[0]) % _P, (one[1] + one[0]) * (two[1] + two[0]) % _P
    c, d = 2 * one[3] * two[3] * _D % _P, 2 * one[2] * two[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int, point: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = _plus(total, point)
        point, scalar = _plus(point, point), scalar >> 1
    return total
