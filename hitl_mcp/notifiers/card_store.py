"""What is remembered of each card: what it showed, where it is, and whether it is still open."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.notifiers.base import CardReference
from hitl_mcp.storage.schema import cards
from server_kit.database.base import Database


class CardState(StrEnum):
    """PREPARED: about to be sent, or sent and the answer lost. OPEN: shown. CLOSED: nothing more to do."""

    PREPARED = "prepared"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True)
class CardRow:
    """One card in one channel. `version` is the request's version that the card shows.

    `call` is the outbox row of the newest call to this card that was begun.
    """

    request_id: str
    channel: str
    nonce: str
    action_digest: str
    offers_approve: bool
    reference: CardReference
    state: CardState
    version: int
    call: int | None = None


class CardStore:
    """The `cards` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_request(self, request_id: str, channel: str) -> CardRow | None:
        """The card of a request in a channel."""

        async def operation(connection: AsyncConnection) -> CardRow | None:
            query = select(cards).where(cards.c.request_id == request_id, cards.c.channel == channel)
            return _card_row((await connection.execute(query)).one_or_none())

        return await self._database.read(operation)

    async def of_nonce(self, nonce: str, channel: str) -> CardRow | None:
        """The card whose buttons carry `nonce`."""

        async def operation(connection: AsyncConnection) -> CardRow | None:
            query = select(cards).where(cards.c.nonce == nonce, cards.c.channel == channel)
            return _card_row((await connection.execute(query)).one_or_none())

        return await self._database.read(operation)

    async def put(self, row: CardRow) -> None:
        """Store the card as it is now, in place of what was known of it."""
        values = {
            "request_id": row.request_id,
            "channel": row.channel,
            "nonce": row.nonce,
            "action_digest": row.action_digest,
            "offers_approve": row.offers_approve,
            "reference": dict(row.reference.data),
            "state": row.state.value,
            "version": row.version,
            "call": row.call,
        }
        insert = sqlite_insert if self._database.dialect == "sqlite" else postgresql_insert
        statement = insert(cards).values(**values)
        changed = {name: value for name, value in values.items() if name not in {"request_id", "channel"}}
        statement = statement.on_conflict_do_update(
            index_elements=[cards.c.request_id, cards.c.channel], set_=changed
        )

        async def operation(connection: AsyncConnection) -> None:
            await connection.execute(statement)

        await self._database.write(operation)


def _card_row(row: Row[tuple[object, ...]] | None) -> CardRow | None:
    if row is None:
        return None
    return CardRow(
        request_id=row.request_id,
        channel=row.channel,
        nonce=row.nonce,
        action_digest=row.action_digest,
        offers_approve=bool(row.offers_approve),
        reference=CardReference(row.reference),
        state=CardState(row.state),
        version=row.version,
        call=row.call,
    )
