"""The stores of identity on a real database, with a cheap password hash and a log that can be read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from argon2 import PasswordHasher
from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.identity.absences import AbsenceDirectory
from hitl_mcp.identity.agents import AgentDirectory
from hitl_mcp.identity.delegations import DelegationDirectory
from hitl_mcp.identity.groups import GroupDirectory
from hitl_mcp.identity.hierarchy import RoleHierarchy
from hitl_mcp.identity.passwords import Passwords
from hitl_mcp.identity.people import PeopleDirectory
from hitl_mcp.identity.register import IdentityRegister
from hitl_mcp.identity.register_anchor import RegisterAnchor
from hitl_mcp.identity.sessions import Sessions
from hitl_mcp.identity.sign_in import SignInThrottle
from hitl_mcp.minting.seals import RecordSealer
from hitl_mcp.storage.schema import metadata
from server_kit.clock import Clock
from server_kit.database.base import Database
from tests.tables import create_tables

SESSION_LIFETIME = timedelta(hours=8)


@dataclass
class ReadableTrail:
    """An audit trail that keeps what it was told; `fails` makes it refuse."""

    entries: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    details: list[Mapping[str, JsonValue]] = field(default_factory=list[Mapping[str, JsonValue]])
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
        self.details.append(details)
        return None

    async def about(
        self, connection: AsyncConnection, subject: str, events: Collection[str] | None = None
    ) -> list[object]:
        return [each for each in self.entries if each[2] == subject and (events is None or each[0] in events)]

    def events(self) -> list[str]:
        """What happened, but for the opening of the register, which comes first everywhere."""
        return [event for event, _, _ in self.entries if event != "identity.register_opened"]


@dataclass(frozen=True)
class Directories:
    database: Database
    register: IdentityRegister
    agents: AgentDirectory
    people: PeopleDirectory
    groups: GroupDirectory
    delegations: DelegationDirectory
    absences: AbsenceDirectory
    sessions: Sessions
    trail: ReadableTrail


async def open_directories(
    database: Database,
    clock: Clock,
    *,
    seal_key: bytes = b"k" * 32,
    roles: Mapping[str, tuple[str, ...]] | None = None,
    anchor: Path | None = None,
    trail: ReadableTrail | None = None,
) -> Directories:
    """Another process of the server, when called again on the same database with the same trail."""

    await create_tables(database, metadata)
    trail, sealer, hierarchy = trail or ReadableTrail(), RecordSealer(seal_key), RoleHierarchy(roles)
    register = IdentityRegister(
        database=database,
        sealer=sealer,
        audit=trail,
        clock=clock,
        anchor=None if anchor is None else RegisterAnchor(anchor),
    )
    people = PeopleDirectory(
        register,
        passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)),
        throttle=SignInThrottle(database=database, audit=trail, clock=clock),
        hierarchy=hierarchy,
    )
    delegations = DelegationDirectory(register, hierarchy)
    return Directories(
        database,
        register,
        AgentDirectory(register),
        people,
        GroupDirectory(register, hierarchy),
        delegations,
        AbsenceDirectory(register, delegations),
        Sessions(register, people=people, lifetime=SESSION_LIFETIME),
        trail,
    )
