"""What is remembered of each card: what it showed, where it is, and whether it is still open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Row, Select, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.notifiers.base import CardReference
from hitl_mcp.storage.schema import cards
from server_kit.database.base import Database

_NEAREST = 8


class CardState(StrEnum):
    """PREPARED: about to be sent, or sent and the answer lost. OPEN: shown. CLOSED: nothing more to do."""

    PREPARED = "prepared"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True)
class CardRow:
    """One card in one channel. `version` is the request's version that the card shows.

    `call` is the outbox row of the newest call to this card that was begun. A request may be shown on the
    card of another one, `carried_by`; that card then `carries` others, and `showing` says what it shows of
    each. `kin` is what it may carry besides requests of its digest, `opened_at` when it was made.
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
    opened_at: datetime | None = None
    kin: str | None = None
    carried_by: str | None = None
    carries: bool = False
    showing: str | None = None

    @property
    def place(self) -> str:
        """The request whose card shows this one; its own id where that is its own card."""
        return self.carried_by or self.request_id


# Decided when a card is placed; whoever stores a card that was read before must not undo it.
_PLACED = frozenset({"request_id", "channel", "opened_at", "kin", "carried_by", "carries"})


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

    async def put(self, *rows: CardRow) -> None:
        """Store each card as it is now, in place of what was known of it."""

        async def operation(connection: AsyncConnection) -> None:
            for row in rows:
                await self._put(connection, row)

        await self._database.write(operation)

    async def near(self, channel: str, *, digest: str, kin: str | None, since: datetime) -> Sequence[CardRow]:
        """Cards made since then whose request has this digest or is of this kin, the newest first."""
        alike = cards.c.action_digest == digest
        query = (
            select(cards)
            .where(
                cards.c.channel == channel,
                cards.c.opened_at >= since,
                cards.c.state != CardState.CLOSED.value,
                alike if kin is None else or_(alike, cards.c.kin == kin),
            )
            .order_by(cards.c.opened_at.desc())
            .limit(_NEAREST)
        )
        return await self._many(query)

    async def on_card_of(self, request_id: str, channel: str) -> Sequence[CardRow]:
        """The card of this request and those that it carries, in the order in which they came."""
        query = select(cards).where(
            cards.c.channel == channel,
            or_(cards.c.request_id == request_id, cards.c.carried_by == request_id),
        )
        found = await self._many(query.order_by(cards.c.opened_at, cards.c.request_id))
        # The card's own request comes first, whatever a clock that was set says.
        return sorted(found, key=lambda row: row.carried_by is not None)

    async def carry(self, row: CardRow) -> None:
        """Place a request on the card of another one."""

        async def operation(connection: AsyncConnection) -> None:
            await self._put(connection, row)
            carrier = (cards.c.request_id == row.carried_by, cards.c.channel == row.channel)
            await connection.execute(update(cards).where(*carrier).values(carries=True))

        await self._database.write(operation)

    async def forget(self, row: CardRow) -> None:
        """Nobody was shown this request yet: it shall get another place."""

        async def operation(connection: AsyncConnection) -> None:
            mine = (cards.c.request_id == row.request_id, cards.c.channel == row.channel)
            await connection.execute(delete(cards).where(*mine))

        await self._database.write(operation)

    async def _many(self, query: Select[tuple[object, ...]]) -> Sequence[CardRow]:
        async def operation(connection: AsyncConnection) -> Sequence[CardRow]:
            return [row for each in (await connection.execute(query)).all() if (row := _card_row(each))]

        return await self._database.read(operation)

    async def _put(self, connection: AsyncConnection, row: CardRow) -> None:
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
            "opened_at": row.opened_at,
            "kin": row.kin,
            "carried_by": row.carried_by,
            "carries": row.carries,
            "showing": row.showing,
        }
        insert = sqlite_insert if self._database.dialect == "sqlite" else postgresql_insert
        changed = {name: value for name, value in values.items() if name not in _PLACED}
        await connection.execute(
            insert(cards)
            .values(**values)
            .on_conflict_do_update(index_elements=[cards.c.request_id, cards.c.channel], set_=changed)
        )


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
        opened_at=row.opened_at,
        kin=row.kin,
        carried_by=row.carried_by,
        carries=bool(row.carries),
        showing=row.showing,
    )
