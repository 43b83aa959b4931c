"""A server process that is killed with SIGKILL at a named point of an act. Run by `test_crashes.py`.

It sends a line for everything it acknowledges, as a tool would answer an agent.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.audit_chain import AuditEntry
from hitl_mcp.approvals.models import ApprovalRequest, Decision, IssuedToken
from hitl_mcp.approvals.ports import NotificationKind
from hitl_mcp.approvals.proof import ProvenApproval
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.audit.trail import SqlAuditTrail
from hitl_mcp.minting.signer import CapabilityMinter
from hitl_mcp.storage.request_store import SqlRequestStore
from hitl_mcp.storage.schema import audit
from server_kit.clock import SystemClock
from server_kit.database.base import ChangeFeed, Database, Dialect, Operation
from server_kit.database.opening import open_database
from tests.approvals.world import AUDIENCE, ISSUER, OneRowOutbox, World, submission, verdict

T = TypeVar("T")


class Fuse:
    """Kills this process when the armed point is reached."""

    def __init__(self, point: str) -> None:
        self.point = point
        self.armed = False

    def reached(self, point: str) -> None:
        if self.armed and point == self.point:
            os.kill(os.getpid(), signal.SIGKILL)


class CrashingDatabase:
    def __init__(self, database: Database, fuse: Fuse) -> None:
        self._database = database
        self._fuse = fuse

    @property
    def dialect(self) -> Dialect:
        return self._database.dialect

    @property
    def changes(self) -> ChangeFeed:
        return self._database.changes

    async def write(self, operation: Operation[T]) -> T:
        async def watched(connection: AsyncConnection) -> T:
            self._fuse.reached("begun")
            result = await operation(connection)
            self._fuse.reached("before commit")
            return result

        result = await self._database.write(watched)
        self._fuse.reached("after commit")
        return result

    async def read(self, operation: Operation[T]) -> T:
        return await self._database.read(operation)

    async def close(self) -> None:
        await self._database.close()


class CrashingStore(SqlRequestStore):
    def __init__(self, dialect: Dialect, fuse: Fuse) -> None:
        super().__init__(dialect)
        self._fuse = fuse

    async def insert(self, connection: AsyncConnection, request: ApprovalRequest, canonical: bytes) -> bool:
        inserted = await super().insert(connection, request, canonical)
        self._fuse.reached("state written")
        return inserted

    async def add_decision(self, connection: AsyncConnection, decision: Decision) -> None:
        await super().add_decision(connection, decision)
        self._fuse.reached("decision written")

    async def update(self, connection: AsyncConnection, request: ApprovalRequest) -> None:
        await super().update(connection, request)
        self._fuse.reached("state written")


class CrashingTrail(SqlAuditTrail):
    def __init__(self, world: World, fuse: Fuse) -> None:
        super().__init__(world.audit_log, audit)
        self._fuse = fuse

    async def append(
        self,
        connection: AsyncConnection,
        event: str,
        *,
        actor: str,
        subject: str,
        details: Mapping[str, JsonValue],
    ) -> AuditEntry:
        entry = await super().append(connection, event, actor=actor, subject=subject, details=details)
        self._fuse.reached("audited")
        return entry


class CrashingOutbox(OneRowOutbox):
    def __init__(self, fuse: Fuse) -> None:
        super().__init__(SystemClock())
        self._fuse = fuse

    async def enqueue(self, connection: AsyncConnection, kind: NotificationKind, request_id: str) -> None:
        await super().enqueue(connection, kind, request_id)
        self._fuse.reached("owed to people")


class CrashingMinter(CapabilityMinter):
    def __init__(self, world: World, fuse: Fuse) -> None:
        super().__init__(signing_key=world.keys.signing_key, issuer=ISSUER, audience=AUDIENCE)
        self._fuse = fuse

    def mint(self, approval: ProvenApproval, *, issued_at: int, expires_at: int) -> IssuedToken:
        issued = super().mint(approval, issued_at=issued_at, expires_at=expires_at)
        self._fuse.reached("signed")
        return issued


def serve_until_killed(url: str, home: Path, act: str, point: str, answers: Connection) -> None:
    asyncio.run(_serve(url, home, act, point, answers))


async def _serve(url: str, home: Path, act: str, point: str, answers: Connection) -> None:
    fuse = Fuse(point)
    world = World(CrashingDatabase(await open_database(url), fuse), SystemClock(), home)
    service = ApprovalService(
        replace(
            world.ports,
            store=CrashingStore(world.database.dialect, fuse),
            audit=CrashingTrail(world, fuse),
            outbox=CrashingOutbox(fuse),
            minter=CrashingMinter(world, fuse),
        )
    )
    for number in range(3):
        fuse.armed = number == 2 and act == "submit"
        record = await service.submit(
            "agent-1", submission(f"print({number}, {point!r})", key=f"{act} {number}")
        )
        answers.send(["submitted", record.request.request_id])
        fuse.armed = number == 2 and act == "decide"
        record = await service.decide(verdict(record, "alice"))
        answers.send(["decided", record.request.request_id])
        fuse.armed = number == 2 and act == "collect"
        issued = await service.collect_token("agent-1", record.request.request_id)
        answers.send(["collected", record.request.request_id, issued.token_id])
