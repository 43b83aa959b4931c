"""The stores of identity on a real database, with a cheap password hash and a log that can be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from argon2 import PasswordHasher
from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.identity.agents import AgentDirectory
from hitl_mcp.identity.passwords import Passwords
from hitl_mcp.identity.people import PeopleDirectory
from hitl_mcp.identity.sessions import Sessions
from hitl_mcp.identity.sign_in import SignInThrottle
from hitl_mcp.minting.seals import RecordSealer
from hitl_mcp.storage.schema import metadata
from server_kit.clock import Clock
from server_kit.database.base import Database

SESSION_LIFETIME = timedelta(hours=8)


@dataclass
class ReadableTrail:
    """An audit trail that keeps what it was told; `fails` makes it refuse."""

    entries: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    fails: bool = False

    async def append(
        self,
        connection: AsyncConnection,
        event: str,
        *,
        actor: str,
        subject: str,
        details: Mapping[str, JsonValue],
    ) -> object:
        if self.fails:
            raise RuntimeError("the audit log cannot be written")
        self.entries.append((event, actor, subject))
        return None

    def events(self) -> list[str]:
        return [event for event, _, _ in self.entries]


@dataclass(frozen=True)
class Directories:
    database: Database
    agents: AgentDirectory
    people: PeopleDirectory
    sessions: Sessions
    trail: ReadableTrail


async def open_directories(database: Database, clock: Clock, *, seal_key: bytes = b"k" * 32) -> Directories:
    async def create(connection: AsyncConnection) -> None:
        await connection.run_sync(metadata.create_all)

    await database.write(create)
    trail, sealer = ReadableTrail(), RecordSealer(seal_key)
    throttle = SignInThrottle(database=database, audit=trail, clock=clock)
    people = PeopleDirectory(
        database=database,
        sealer=sealer,
        audit=trail,
        clock=clock,
        passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)),
        throttle=throttle,
    )
    return Directories(
        database,
        AgentDirectory(database=database, sealer=sealer, audit=trail, clock=clock),
        people,
        Sessions(
            database=database,
            sealer=sealer,
            audit=trail,
            clock=clock,
            people=people,
            lifetime=SESSION_LIFETIME,
        ),
        trail,
    )
