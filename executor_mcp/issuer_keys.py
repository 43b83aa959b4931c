"""The approval server's public keys, from a file or from its JWKS address."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import httpx2

from executor_mcp.bounded_fetch import FetchFailed, fetch
from executor_mcp.errors import KeySourceUnavailable
from hitl_contract.canonical import base64url_decode, parse_strict_json
from hitl_contract.capability import MAX_TOKEN_BYTES
from hitl_contract.errors import CanonicalizationError, InvalidKeySet
from hitl_contract.keys import PublicKeys

MAX_KEY_SET_BYTES = 65_536


class IssuerKeys(Protocol):
    """The keys a token may be signed with now. Implemented by `FileKeys` and `FetchedKeys`."""

    async def keys(self, key_id: str | None) -> PublicKeys:
        """The current keys; `key_id` is a hint that a key was asked for, which may be worth a fresh look.

        Raises:
            KeySourceUnavailable: no keys are known, or those known are too old to be trusted.
        """
        ...


def named_key(token: str) -> str | None:
    """The kid in the token's header, before anything is verified; None when there is none to be read."""
    if len(token) > MAX_TOKEN_BYTES or not token.isascii():
        return None
    try:
        header = parse_strict_json(base64url_decode(token.partition(".")[0]))
    except (ValueError, CanonicalizationError):
        return None
    kid = cast("dict[str, object]", header).get("kid") if isinstance(header, dict) else None
    return kid if isinstance(kid, str) else None


class FileKeys:
    """A JWKS file, read again whenever it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: PublicKeys | None = None

    async def keys(self, key_id: str | None) -> PublicKeys:
        del key_id
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if self._keys is None or seen != self._seen:
                self._keys = _parse(self._read(), str(self._path))
                self._seen = seen
        except OSError as error:
            raise KeySourceUnavailable(
                f"cannot read the issuer's keys {self._path}: {error.strerror}; set EXECUTOR_JWKS"
            ) from error
        return self._keys

    def _read(self) -> bytes:
        with self._path.open("rb") as file:
            return file.read(MAX_KEY_SET_BYTES + 1)


class FetchedKeys:
    """Keys from an address: kept for `max_age_seconds`, asked for again when a token names an unknown key.

    `floor_seconds` is the least time between two attempts, so that forged key ids cannot make this process
    hammer the issuer. Keys that could not be refreshed stay good for `max_stale_seconds`, and no longer: a
    withdrawn key must die.
    """

    def __init__(
        self,
        url: str,
        client: httpx2.AsyncClient,
        *,
        max_age_seconds: float = 300.0,
        max_stale_seconds: float = 900.0,
        floor_seconds: float = 5.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._client = client
        self._max_age = max_age_seconds
        self._max_stale = max_stale_seconds
        self._floor = floor_seconds
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._keys: PublicKeys | None = None
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._problem = "not asked yet"

    async def keys(self, key_id: str | None) -> PublicKeys:
        if self._lacks(key_id):
            async with self._lock:
                # Another caller may have brought them while this one waited.
                if self._lacks(key_id) and self._monotonic() - self._tried_at >= self._floor:
                    await self._refresh()
        if self._keys is None or self._monotonic() - self._fetched_at > self._max_stale:
            raise KeySourceUnavailable(f"the issuer's keys cannot be read from {self._url}: {self._problem}")
        return self._keys

    def _lacks(self, key_id: str | None) -> bool:
        unknown = self._keys is None or (key_id is not None and self._keys.get(key_id) is None)
        return unknown or self._monotonic() - self._fetched_at > self._max_age

    async def _refresh(self) -> None:
        try:
            self._keys = _parse(await fetch(self._client, self._url, limit=MAX_KEY_SET_BYTES), self._url)
        except (FetchFailed, KeySourceUnavailable) as error:
            self._problem = str(error)
        else:
            self._fetched_at = self._monotonic()
        finally:
            # From the end: those who waited for an attempt that timed out must not each make their own.
            self._tried_at = self._monotonic()


def _parse(data: bytes, source: str) -> PublicKeys:
    if len(data) > MAX_KEY_SET_BYTES:
        raise KeySourceUnavailable(f"the key set {source} is larger than {MAX_KEY_SET_BYTES} bytes")
    try:
        return PublicKeys.from_jwks(json.loads(data))
    except (ValueError, RecursionError, InvalidKeySet) as error:
        raise KeySourceUnavailable(f"{source} is not a key set of Ed25519 public keys: {error}") from error
