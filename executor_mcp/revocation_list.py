"""The approval server's list of withdrawn tokens, as step 4 of the gate asks it.

The address is the configured one; nothing that a token says leads anywhere. A list is looked at again when it
is older than two seconds, by one caller at a time, in a bounded time. An older list than one seen before is
not taken back, so that somebody on the network cannot hide a revocation with yesterday's list.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

import httpx2

from executor_mcp.bounded_fetch import FetchFailed, fetch
from executor_mcp.errors import KeySourceUnavailable, RevocationsUnavailable
from executor_mcp.issuer_keys import IssuerKeys
from hitl_contract.revocations import (
    MAX_LIST_BYTES,
    RevocationList,
    RevocationListRefused,
    decode_revocations,
    named_key_of_list,
)
from server_kit.clock import Clock

MAX_AGE_SECONDS: Final = 2.0
FETCH_SECONDS: Final = 3.0

Read = Callable[[], Awaitable[bytes]]
"""Brings the list's bytes. Raises FetchFailed or OSError."""


class IssuerRevocations(Protocol):
    """What the issuer has withdrawn."""

    async def is_revoked(self, token_id: str) -> bool:
        """Raises RevocationsUnavailable: whether it was cannot be known now, and not knowing means no."""
        ...


class NoRevocationList:
    """For an executor that knows the issuer's keys alone: what was withdrawn there does not reach it."""

    async def is_revoked(self, token_id: str) -> bool:
        del token_id
        return False


class SignedRevocationList:
    """A list that the issuer signs. Unless it is `required`, one that cannot be read counts as empty."""

    def __init__(
        self,
        read: Read,
        *,
        source: str,
        keys: IssuerKeys,
        issuer: str,
        leeway_seconds: int,
        required: bool,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._source = source
        self._keys = keys
        self._issuer = issuer
        self._leeway_seconds = leeway_seconds
        self._required = required
        self._clock = clock
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._looked_at = float("-inf")
        self._list: RevocationList | None = None
        self._problem: str | None = None

    async def is_revoked(self, token_id: str) -> bool:
        if self._is_old():
            async with self._lock:
                # Another caller may have brought it while this one waited.
                if self._is_old():
                    await self._refresh()
        if self._list is not None and token_id in self._list.token_ids:
            return True
        if self._problem is not None and self._required:
            raise RevocationsUnavailable(
                f"whether the token was revoked cannot be read from {self._source}: {self._problem}; the "
                "token is unspent, try again with it in a few seconds"
            )
        return False

    def _is_old(self) -> bool:
        return self._monotonic() - self._looked_at > MAX_AGE_SECONDS

    async def _refresh(self) -> None:
        # From the beginning: what is revoked while the answer is on its way must be seen the next time.
        began = self._monotonic()
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                found = await self._fetched()
        except (FetchFailed, KeySourceUnavailable, RevocationListRefused) as error:
            self._problem = str(error)
        except TimeoutError:
            self._problem = f"no answer within {FETCH_SECONDS:g} s"
        except OSError as error:
            self._problem = error.strerror or type(error).__name__
        else:
            self._list, self._problem = found, None
            self._looked_at = began
            return
        # A list that did not come is asked for again sooner, and not by every caller in turn.
        self._looked_at = self._monotonic() - MAX_AGE_SECONDS / 2

    async def _fetched(self) -> RevocationList:
        text = (await self._read()).decode("ascii", "replace").strip()
        found = decode_revocations(
            text,
            keys=await self._keys.keys(named_key_of_list(text)),
            issuer=self._issuer,
            now=self._clock.now().timestamp(),
            leeway_seconds=self._leeway_seconds,
        )
        if self._list is not None and found.issued_at < self._list.issued_at:
            raise RevocationListRefused("the revocation list is older than one seen before")
        return found


def read_url(url: str, client: httpx2.AsyncClient) -> Read:
    """The list at an address."""

    async def read() -> bytes:
        return await fetch(client, url, limit=MAX_LIST_BYTES, timeout_seconds=FETCH_SECONDS)

    return read


def read_file(path: Path) -> Read:
    """The list in a file that something else keeps fresh."""

    async def read() -> bytes:
        return await asyncio.to_thread(_head, path)

    return read


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_LIST_BYTES)
