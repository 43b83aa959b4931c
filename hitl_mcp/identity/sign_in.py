"""Throttles sign-in, per person and per address, for all replicas together.

An attempt is counted as failed before the password is looked at and cleared when it was right, so a hundred
guesses at the same time are counted a hundred times. What is counted, within 15 minutes:

1. a person from one address: 5;
2. an address, whoever it tries: 20;
3. a person from all addresses: 60, high enough that a stranger does not lock somebody out by accident.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.errors import SignInRefused, TooManyAttempts
from hitl_mcp.identity.ports import AuditTrail
from hitl_mcp.storage.schema import sign_in_attempts as attempts
from server_kit.clock import Clock
from server_kit.database.base import Database

WINDOW: Final = timedelta(minutes=15)
FAILURES_OF_PERSON_FROM_ADDRESS: Final = 5
FAILURES_FROM_ADDRESS: Final = 20
FAILURES_OF_PERSON: Final = 60
_KEPT: Final = timedelta(days=1)


@dataclass(slots=True)
class Attempt:
    """One attempt under way."""

    failed: bool = False

    def refused(self) -> SignInRefused:
        """Mark it failed; raise what this returns."""
        self.failed = True
        return SignInRefused("The name or the password is wrong.")


class SignInThrottle:
    """Counts attempts in the database."""

    def __init__(self, *, database: Database, audit: AuditTrail, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    @asynccontextmanager
    async def attempt(self, person_key: str, address: str | None) -> AsyncGenerator[Attempt]:
        """Surround one attempt. Leaving it without an error counts as a success.

        Raises:
            TooManyAttempts: on entry, when this attempt is one too many.
        """
        attempt_id = await self._reserve(person_key, address)
        attempt = Attempt()
        try:
            yield attempt
        finally:
            # A crash in between stays counted as failed: that is the safe side.
            if attempt.failed:
                await self._record_refusal(person_key, address)
        await self._clear(attempt_id, person_key, address)

    async def _reserve(self, person_key: str, address: str | None) -> int:
        now = self._clock.now()
        same_person = attempts.c.person_key == person_key
        same_address = attempts.c.address == address if address is not None else attempts.c.address.is_(None)
        limits: list[tuple[ColumnElement[bool], int]] = [
            (same_person & same_address, FAILURES_OF_PERSON_FROM_ADDRESS),
            (same_person, FAILURES_OF_PERSON),
        ]
        if address is not None:
            limits.append((same_address, FAILURES_FROM_ADDRESS))

        async def reserve(connection: AsyncConnection) -> int:
            await connection.execute(delete(attempts).where(attempts.c.attempted_at < now - _KEPT))
            for who, limit in limits:
                await _check(connection, who, limit, now)
            added = await connection.execute(
                insert(attempts)
                .values(person_key=person_key, address=address, attempted_at=now, succeeded=0)
                .returning(attempts.c.attempt_id)
            )
            return added.scalar_one()

        return await self._database.write(reserve)

    async def _record_refusal(self, person_key: str, address: str | None) -> None:
        async def record(connection: AsyncConnection) -> None:
            await self._audit.append(
                connection,
                "sign_in.refused",
                actor=f"address:{address}" if address else "terminal",
                subject=person_key,
                details={},
            )

        await self._database.write(record)

    async def _clear(self, attempt_id: int, person_key: str, address: str | None) -> None:
        same_address = attempts.c.address == address if address is not None else attempts.c.address.is_(None)

        async def clear(connection: AsyncConnection) -> None:
            await connection.execute(
                update(attempts).where(attempts.c.attempt_id == attempt_id).values(succeeded=1)
            )
            # Whoever knows the password has shown that the misses before it from there were slips.
            await connection.execute(
                delete(attempts).where(
                    (attempts.c.person_key == person_key) & same_address & (attempts.c.succeeded == 0)
                )
            )

        await self._database.write(clear)


async def _check(connection: AsyncConnection, who: ColumnElement[bool], limit: int, now: datetime) -> None:
    failures = await connection.execute(
        select(func.count(), func.min(attempts.c.attempted_at)).where(
            who & (attempts.c.succeeded == 0) & (attempts.c.attempted_at > now - WINDOW)
        )
    )
    count, oldest = failures.one()
    if count >= limit:
        remaining = (oldest + WINDOW - now) if oldest is not None else WINDOW
        raise TooManyAttempts(max(1, int(remaining.total_seconds()) + 1))
