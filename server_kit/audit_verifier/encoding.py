"""Bytes and files: RFC 8785 for what a log holds, base64url, JSON Lines."""

from __future__ import annotations

import binascii
import gzip
import hashlib
import io
import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, cast

_BUFFER: Final = 1 << 18
URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


class Unreadable(Exception):
    """A file is missing or is not what it was given as."""


def lines_of(path: Path) -> Iterator[bytes]:
    """Every line of a file, unpacked when its name ends in .gz. Raises OSError, EOFError or zlib.error."""
    with cast("IO[bytes]", gzip.open(path) if path.suffix == ".gz" else path.open("rb", _BUFFER)) as file:
        # What gzip opens splits lines in Python.
        yield from io.BufferedReader(cast("io.RawIOBase", file), _BUFFER) if path.suffix == ".gz" else file


def json_object(line: bytes) -> dict[str, Any] | None:
    """The JSON object on a line; None when it is none."""
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def canonical(value: object) -> bytes:
    """RFC 8785 for what a log holds: keys in ASCII, numbers whole or short."""
    text = json.dumps(_whole(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _whole(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_whole(item) for item in cast("list[object]", value)]
    return value


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
