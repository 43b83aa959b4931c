"""The durable single-use ledger: a token id is inserted once, by a primary key that every process shares."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.storage.schema import spent_tokens
from server_kit.database.base import Database
from server_kit.database.fixed_statement import FixedStatement
from server_kit.database.row_insert import RowInsert

_OF_TOKEN: Final = FixedStatement(
    select(spent_tokens.c.execution_id).where(spent_tokens.c.token_id == bindparam("wanted"))
)


class AlreadySpent(Exception):
    """Another call has spent this token; `execution_id` is what it ran as."""

    def __init__(self, execution_id: str) -> None:
        self.execution_id = execution_id
        super().__init__(f"the token was spent as execution {execution_id}")


class SpentTokens:
    """Rows are only ever added: an approval stays spent for as long as the database is kept."""

    def __init__(self, database: Database) -> None:
        self._database = database
        insert = postgresql.insert if database.dialect == "postgresql" else sqlite.insert
        self._insert = RowInsert(
            insert(spent_tokens).on_conflict_do_nothing(index_elements=[spent_tokens.c.token_id])
        )

    async def execution_of(self, token_id: str) -> str | None:
        """The execution that a token was spent on, or None while it is unspent."""

        async def read(connection: AsyncConnection) -> str | None:
            return await _execution_of(connection, token_id)

        return await self._database.read(read)

    async def spend(
        self, connection: AsyncConnection, token_id: str, execution_id: str, *, spent_at: datetime
    ) -> None:
        """Spend the token within the caller's transaction.

        The unique insert decides between simultaneous callers; no earlier look is relied on.

        Raises:
            AlreadySpent: the token was spent before, in whichever process.
        """
        row = {"token_id": token_id, "execution_id": execution_id, "spent_at": spent_at}
        if await self._insert.execute(connection, row) != 1:
            raise AlreadySpent(await _execution_of(connection, token_id) or "unknown")


async def _execution_of(connection: AsyncConnection, token_id: str) -> str | None:
    row = await _OF_TOKEN.row(connection, wanted=token_id)
    return None if row is None else row.execution_id
