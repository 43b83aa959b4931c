"""Passwords: argon2id (RFC 9106), checked in a thread, few at a time, as slowly for nobody as for anybody."""

from __future__ import annotations

import asyncio
import base64
import secrets
import unicodedata
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hitl_mcp.errors import PasswordRefused

MIN_PASSWORD_CHARACTERS: Final = 8
MAX_PASSWORD_CHARACTERS: Final = 1024
_CHECKS_AT_A_TIME: Final = 2
# RFC 9106 section 3.1: version 0x13, in decimal as encoded hashes have it.
_ARGON2_VERSION: Final = 19


class Passwords:
    """Hashes and checks. One takes 64 MiB and some 50 ms of a core, therefore only two run at a time."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(_CHECKS_AT_A_TIME)
        self._hash_of_nobody = _hash_of_no_password(self._hasher)

    async def hash(self, password: str, *, person: str) -> str:
        """The hash to store.

        Raises:
            PasswordRefused: it is shorter than 8 or longer than 1,024 characters, or the person's own name.
        """
        password = checked_password(password, person=person)
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether `stored` was made of `password`. None (nobody) takes as long and never matches."""
        if len(password) > MAX_PASSWORD_CHARACTERS:
            return False
        async with self._turns:
            return await asyncio.to_thread(self._matches, stored, _normalised(password))

    def _matches(self, stored: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(stored or self._hash_of_nobody, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False


def checked_password(password: str, *, person: str) -> str:
    """The password as it is hashed.

    Raises:
        PasswordRefused: it is shorter than 8 or longer than 1,024 characters, or the person's own name.
    """
    password = _normalised(password)
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise PasswordRefused(
            f"A password needs at least {MIN_PASSWORD_CHARACTERS} characters, not {len(password)}."
        )
    if len(password) > MAX_PASSWORD_CHARACTERS:
        raise PasswordRefused(f"A password has at most {MAX_PASSWORD_CHARACTERS} characters.")
    if password.casefold() == person.casefold():
        raise PasswordRefused("A password must not be the person's own name.")
    return password


def _hash_of_no_password(hasher: PasswordHasher) -> str:
    """A hash with the hasher's parameters whose digest was drawn, not derived.

    No password is known to fit it. A look at it costs what any look costs, the first one of a process too.
    """
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode("ascii").rstrip("=")
        for size in (hasher.salt_len, hasher.hash_len)
    )
    parameters = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2{hasher.type.name.lower()}$v={_ARGON2_VERSION}${parameters}${salt}${digest}"


def _normalised(password: str) -> str:
    # The same password typed on another keyboard may arrive decomposed (RFC 8265 section 4.2: NFC).
    return unicodedata.normalize("NFC", password)
