"""Bytes and files: RFC 8785 for what a log holds, base64url, JSON Lines."""

from __future__ import annotations

import binascii
import gzip
import hashlib
import io
import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from decimal import Decimal
from json.encoder import encode_basestring
from pathlib import Path
from typing import IO, Any, Final, NoReturn, cast

_BUFFER: Final = 1 << 18
URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


class Unreadable(Exception):
    """A file is missing or is not what it was given as."""


def lines_of(path: Path) -> Iterator[bytes]:
    """Every line of a file, unpacked when its name ends in .gz. Raises OSError, EOFError or zlib.error."""
    with cast("IO[bytes]", gzip.open(path) if path.suffix == ".gz" else path.open("rb", _BUFFER)) as file:
        # What gzip opens splits lines in Python.
        yield from io.BufferedReader(cast("io.RawIOBase", file), _BUFFER) if path.suffix == ".gz" else file


def blocks_of(path: Path) -> Iterator[bytes]:
    """A file in portions of whole lines, unpacked when its name ends in .gz. Raises as `lines_of`."""
    rest = b""
    with cast("IO[bytes]", gzip.open(path) if path.suffix == ".gz" else path.open("rb", 0)) as file:
        while portion := file.read(_BUFFER):
            whole, end, rest_of_it = portion.rpartition(b"\n")
            if end:
                yield rest + whole + end
                rest = rest_of_it
            else:
                rest += portion
    if rest:
        yield rest


def json_object(line: bytes) -> dict[str, Any] | None:
    """The JSON object on a line; None when it is none, or when readers would disagree on what it says."""
    try:
        value: object = json.loads(line.decode(), object_pairs_hook=_once_each, parse_constant=_refused)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands there twice")
    return found


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def canonical(value: object) -> bytes:
    """RFC 8785 of what JSON can hold. Raises UnicodeEncodeError for half a surrogate pair, RecursionError."""
    return _written(value).encode()


def _written(value: object) -> str:
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value).items()
        # Encodings order ASCII alike.
        ascii_names = "".join(name for name, _ in fields).isascii()
        fields = sorted(fields, key=None if ascii_names else _by_utf16)
        return "{" + ",".join([f"{encode_basestring(name)}:{_written(item)}" for name, item in fields]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([_written(item) for item in cast("list[object]", value)]) + "]"
    return _number(value) if isinstance(value, float) else json.dumps(value)


def _by_utf16(field: tuple[str, object]) -> bytes:
    return field[0].encode("utf-16-be", "surrogatepass")


def _number(value: float) -> str:
    """ECMAScript's Number::toString, of the shortest digits, which Python finds too."""
    sign, all_digits, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, all_digits)).rstrip("0")
    if not digits:
        return "0"
    before = len(all_digits) + cast("int", exponent)
    if len(digits) <= before <= 21:
        text = digits.ljust(before, "0")
    elif 0 < before <= 21:
        text = f"{digits[:before]}.{digits[before:]}"
    elif -6 < before <= 0:
        text = f"0.{'0' * -before}{digits}"
    else:
        text = f"{digits[0]}.{digits[1:]}".rstrip(".") + f"e{before - 1:+d}"
    return f"-{text}" if sign else text


def digest_of(data: bytes) -> bytes:
    """`sha-256:` and the base64url digest of bytes."""
    encoded = binascii.b2a_base64(hashlib.sha256(data).digest())
    return b"sha-256:" + encoded.translate(URL_SAFE, b"=\n")


def file_digest(path: Path) -> str:
    """`sha-256:` and the digest of a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return "sha-256:" + base64url(hashlib.file_digest(file, "sha256").digest()).decode()


def base64url(data: bytes) -> bytes:
    """RFC 7515 base64url: no padding."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(URL_SAFE)


def from_base64url(text: str) -> bytes:
    """Inverse of `base64url`. Raises ValueError."""
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64url(data) != text.encode():
        raise ValueError("not base64url")
    return data
