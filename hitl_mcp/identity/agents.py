"""Agents and their API keys. A key proves which agent calls; it can ask, and never decide."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.errors import AlreadyExists, UnknownAgent
from hitl_mcp.identity.credentials import new_agent_key, parse_agent_key, same
from hitl_mcp.identity.names import checked_agent_name
from hitl_mcp.identity.ports import AuditTrail, RowSealer
from hitl_mcp.identity.sealed_rows import SealedRows
from hitl_mcp.storage.schema import agents
from server_kit.clock import Clock
from server_kit.database.base import Database


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """A registered agent. `key_id` is the public part of its API key."""

    name: str
    key_id: str
    created_at: datetime
    revoked_at: datetime | None


class AgentDirectory:
    """The agents this server knows."""

    def __init__(self, *, database: Database, sealer: RowSealer, audit: AuditTrail, clock: Clock) -> None:
        self._database = database
        self._rows = SealedRows(agents, sealer)
        self._audit = audit
        self._clock = clock

    async def add(self, name: str, *, actor: str = "operator") -> str:
        """Register an agent and return its API key, which is stored nowhere. A revoked name gets a new key.

        Raises:
            NameRefused: the name cannot be one.
            AlreadyExists: an agent of this name has a key that is not revoked.
        """
        checked_agent_name(name)
        key = new_agent_key()
        values = self._rows.sealed(
            {
                "name": name,
                "key_id": key.key_id,
                "key_hash": key.digest,
                "created_at": self._clock.now(),
                "revoked_at": None,
            }
        )

        async def store(connection: AsyncConnection) -> None:
            known = (await connection.execute(select(agents).where(agents.c.name == name))).first()
            if known is not None and known.revoked_at is None:
                raise AlreadyExists(
                    f"Agent {name} has a key already. For a new one first: hitl agents revoke {name}"
                )
            if known is None:
                await connection.execute(insert(agents).values(**values))
            else:
                await connection.execute(update(agents).where(agents.c.name == name).values(**values))
            await self._audit.append(
                connection, "agent.added", actor=actor, subject=name, details={"key_id": key.key_id}
            )

        await self._database.write(store)
        return key.text

    async def authenticate(self, api_key: str) -> str | None:
        """The name of the agent whose key this is; None for any other string."""
        key = parse_agent_key(api_key)
        if key is None:
            return None
        row = await self._find(key.key_id)
        if row is None or row.revoked_at is not None or not same(row.key_hash, key.digest):
            return None
        return row.name if self._rows.holds(row) else None

    async def is_active(self, name: str) -> bool:
        """Whether there is an agent of this name that is not revoked."""

        async def find(connection: AsyncConnection) -> Row[Any] | None:
            return (await connection.execute(select(agents).where(agents.c.name == name))).first()

        row = await self._database.read(find)
        return row is not None and row.revoked_at is None and self._rows.holds(row)

    async def list(self) -> list[AgentRecord]:
        """Every agent, by name."""

        async def find(connection: AsyncConnection) -> list[Row[Any]]:
            return list((await connection.execute(select(agents).order_by(agents.c.name))).all())

        return [
            AgentRecord(row.name, row.key_id, row.created_at, row.revoked_at)
            for row in await self._database.read(find)
            if self._rows.holds(row)
        ]

    async def revoke(self, name: str, *, actor: str = "operator") -> None:
        """Make the agent's key worthless at once. Its requests stay.

        Raises:
            UnknownAgent: no agent of this name has a valid key.
        """

        async def store(connection: AsyncConnection) -> None:
            row = (await connection.execute(select(agents).where(agents.c.name == name))).first()
            if row is None or row.revoked_at is not None or not self._rows.holds(row):
                raise UnknownAgent(f"There is no agent {name[:80]!r} with a valid key. See: hitl agents list")
            values = self._rows.changed(row, revoked_at=self._clock.now())
            await connection.execute(update(agents).where(agents.c.name == name).values(**values))
            await self._audit.append(
                connection, "agent.revoked", actor=actor, subject=name, details={"key_id": row.key_id}
            )

        await self._database.write(store)

    async def _find(self, key_id: str) -> Row[Any] | None:
        async def find(connection: AsyncConnection) -> Row[Any] | None:
            return (await connection.execute(select(agents).where(agents.c.key_id == key_id))).first()

        return await self._database.read(find)
