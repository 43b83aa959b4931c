"""How a card that carries several requests was shown: what one tap on it decides, then and never more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.storage.schema import card_faces
from server_kit.database.base import Database


@dataclass(frozen=True)
class CardFace:
    """One face of the card of `request_id`: `items` are pairs of request and digest.

    `grew_at` is when it took the place of a face with fewer, None where it showed nothing new.
    """

    nonce: str
    channel: str
    request_id: str
    items: tuple[tuple[str, str], ...]
    offers_approve: bool
    grew_at: datetime | None


class CardFaces:
    """The `card_faces` table. A face stays known after the next: a late tap decides what it was put on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, face: CardFace) -> None:
        """Know this face from now on; told twice, the later `grew_at` counts."""
        insert = sqlite_insert if self._database.dialect == "sqlite" else postgresql_insert
        items: Sequence[Sequence[str]] = [list(item) for item in face.items]
        statement = insert(card_faces).values(
            nonce=face.nonce,
            channel=face.channel,
            request_id=face.request_id,
            items=items,
            offers_approve=face.offers_approve,
            grew_at=face.grew_at,
        )
        later = func.coalesce(statement.excluded.grew_at, card_faces.c.grew_at)
        statement = statement.on_conflict_do_update(
            index_elements=[card_faces.c.nonce], set_={"grew_at": later}
        )

        async def operation(connection: AsyncConnection) -> None:
            await connection.execute(statement)

        await self._database.write(operation)

    async def of_nonce(self, nonce: str, channel: str) -> CardFace | None:
        """The face whose buttons carry `nonce`."""
        query = select(card_faces).where(card_faces.c.nonce == nonce, card_faces.c.channel == channel)

        async def operation(connection: AsyncConnection) -> CardFace | None:
            row = (await connection.execute(query)).one_or_none()
            if row is None:
                return None
            items = tuple((str(request_id), str(digest)) for request_id, digest in row.items)
            return CardFace(
                row.nonce, row.channel, row.request_id, items, bool(row.offers_approve), row.grew_at
            )

        return await self._database.read(operation)
