"""Agents that hold an executor API key.

Only a hash of a key is kept; a key is 256 random bits, so no salt is needed.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.errors import InvalidArgument
from executor_mcp.storage.schema import agents
from server_kit.audit_log import AuditLog
from server_kit.clock import Clock
from server_kit.database.base import Database

KEY_PREFIX = "hitl_executor_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}\Z")
_MAX_KEY_CHARACTERS = 128


@dataclass(frozen=True)
class Agent:
    name: str
    created_at: datetime
    revoked_at: datetime | None


class AgentDirectory:
    """Adds, revokes and recognises agents; each change is audited in the transaction that makes it."""

    def __init__(self, *, database: Database, audit: AuditLog, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    async def add(self, name: str) -> str:
        """The new agent's API key, which cannot be shown again.

        Raises:
            InvalidArgument: the name is not one, or has been taken.
        """
        if not _NAME.match(name):
            raise InvalidArgument(
                f"the agent name {name[:128]!a} is not allowed: 1 to 128 letters, digits or . _ @ -, "
                "the first a letter or digit"
            )
        key = KEY_PREFIX + secrets.token_urlsafe(32)

        async def write(connection: AsyncConnection) -> None:
            taken = await connection.execute(select(agents.c.name).where(agents.c.name == name))
            if taken.one_or_none() is not None:
                raise InvalidArgument(f"the agent {name} exists already: choose another name")
            await connection.execute(
                insert(agents).values(name=name, key_hash=_hash(key), created_at=self._clock.now())
            )
            await self._audit.append(connection, "agent.added", actor="operator", subject=name, details={})

        await self._database.write(write)
        return key

    async def revoke(self, name: str) -> None:
        """From now on the agent's key opens nothing.

        Raises:
            InvalidArgument: there is no such agent, or it is revoked already.
        """

        async def write(connection: AsyncConnection) -> None:
            changed = await connection.execute(
                update(agents)
                .where(agents.c.name == name, agents.c.revoked_at.is_(None))
                .values(revoked_at=self._clock.now())
            )
            if changed.rowcount != 1:
                raise InvalidArgument(f"there is no agent {name[:128]!a} with a valid key; see: agents list")
            await self._audit.append(connection, "agent.revoked", actor="operator", subject=name, details={})

        await self._database.write(write)

    async def list(self) -> tuple[Agent, ...]:
        async def read(connection: AsyncConnection) -> tuple[Agent, ...]:
            rows = await connection.execute(select(agents).order_by(agents.c.name))
            return tuple(Agent(row.name, row.created_at, row.revoked_at) for row in rows)

        return await self._database.read(read)

    async def authenticate(self, api_key: str) -> str | None:
        """The agent's name, or None for a key that is not known or was revoked."""
        if not api_key.startswith(KEY_PREFIX) or len(api_key) > _MAX_KEY_CHARACTERS:
            return None

        async def read(connection: AsyncConnection) -> str | None:
            # Looked up by hash: the time that takes says nothing about the key.
            row = await connection.execute(
                select(agents.c.name).where(
                    agents.c.key_hash == _hash(api_key), agents.c.revoked_at.is_(None)
                )
            )
            return row.scalar_one_or_none()

        return await self._database.read(read)


def _hash(api_key: str) -> str:
    return hashlib.sha256(api_key.encode()).hexdigest()
