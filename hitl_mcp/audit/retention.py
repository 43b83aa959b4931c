"""What of the audit log the approval server still reads, and what therefore is not archived."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.capability import MAX_LIFETIME_SECONDS
from hitl_contract.verify import MAX_LEEWAY_SECONDS
from hitl_mcp.storage.schema import audit, requests
from server_kit.clock import Clock

_TOKEN_OUTLIVES: Final = timedelta(seconds=MAX_LIFETIME_SECONDS + MAX_LEEWAY_SECONDS)


class EvidenceInUse:
    """The proof of an approval reads the log by its request: pending and still valid ones stay.

    A writer of the database who makes a request look ended can have its evidence archived. That approves
    nothing: without the entry of its creation no request gives a token.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def first_needed(self, connection: AsyncConnection) -> int | None:
        """The first entry about a request whose evidence is needed; None when none is."""
        entries, now = audit.entries, self._clock.now()
        still_good = or_(requests.c.valid_until.is_(None), requests.c.valid_until > now - _TOKEN_OUTLIVES)
        in_use = or_(requests.c.status == "PENDING", and_(requests.c.status == "APPROVED", still_good))
        first = await connection.scalar(
            select(func.min(entries.c.sequence)).where(
                entries.c.subject.in_(select(requests.c.request_id).where(in_use))
            )
        )
        return None if first is None else int(first)
