"""Tokens that an operator of this executor has withdrawn before they were spent."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.storage.schema import revoked_tokens
from server_kit.audit_log import AuditLog
from server_kit.clock import Clock
from server_kit.database.base import Database
from server_kit.database.fixed_statement import FixedStatement

_OF_TOKEN: Final = FixedStatement(
    select(revoked_tokens.c.token_id).where(revoked_tokens.c.token_id == bindparam("wanted"))
)


class RevokedTokens:
    """A set of token ids that only grows."""

    def __init__(self, *, database: Database, audit: AuditLog, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    async def revoke(self, token_id: str, *, reason: str) -> None:
        """Refuse this token from now on; revoking it again changes nothing."""
        insert = postgresql.insert if self._database.dialect == "postgresql" else sqlite.insert

        async def write(connection: AsyncConnection) -> None:
            row = {"token_id": token_id, "reason": reason, "revoked_at": self._clock.now()}
            await connection.execute(insert(revoked_tokens).values(row).on_conflict_do_nothing())
            await self._audit.append(
                connection, "token.revoked", actor="operator", subject=token_id, details={"reason": reason}
            )

        await self._database.write(write)

    async def is_revoked(self, token_id: str) -> bool:
        async def read(connection: AsyncConnection) -> bool:
            return await self.is_revoked_within(connection, token_id)

        return await self._database.read(read)

    async def is_revoked_within(self, connection: AsyncConnection, token_id: str) -> bool:
        """The same, within the transaction that is about to spend the token."""
        return await _OF_TOKEN.row(connection, wanted=token_id) is not None
