"""The scene of an attack on the database: a victim's approval, a denial, and what the attacker wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.models import IssuedToken, RequestRecord
from tests.approvals.world import World
from tests.conftest import ManualClock


@dataclass
class Scene:
    """`approved` and `denied` are the victim agent's requests, `wanted` is the attacker's, still pending."""

    world: World
    clock: ManualClock
    approved: RequestRecord
    denied: RequestRecord
    wanted: RequestRecord

    async def sql(self, statement: str, **values: object) -> None:
        await self.world.database.write(lambda connection: connection.execute(text(statement), values))

    async def drop_audit_triggers(self) -> None:
        async def operation(connection: AsyncConnection) -> None:
            if self.world.database.dialect == "postgresql":
                await connection.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER ALL"))
                return
            found = await connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
            for (name,) in found.all():
                await connection.execute(text(f"DROP TRIGGER {name}"))

        await self.world.database.write(operation)

    async def decision_row(self) -> dict[str, Any]:
        async def operation(connection: AsyncConnection) -> dict[str, Any]:
            query = text("SELECT * FROM decisions WHERE request_id = :id")
            found = await connection.execute(query, {"id": self.approved.request.request_id})
            return dict(found.mappings().one())

        return await self.world.database.read(operation)

    async def insert_decision(self, **changes: object) -> None:
        """Copy the genuine approval, with changes."""
        row = {**await self.decision_row(), "decision_id": "dec_forged", **changes}
        columns = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        await self.sql(f"INSERT INTO decisions ({columns}) VALUES ({marks})", **row)

    async def mark_approved(self, record: RequestRecord) -> None:
        await self.sql(
            "UPDATE requests SET status = 'APPROVED', version = version + 5, decided_at = :at, "
            "valid_until = :until WHERE request_id = :id",
            at=self._microseconds(0),
            until=self._microseconds(10**6),
            id=record.request.request_id,
        )

    def _microseconds(self, later: int) -> int:
        return int((self.clock.now().timestamp() + later) * 1_000_000)


async def attempt(scene: Scene, agent: str, record: RequestRecord) -> IssuedToken:
    """Collect in a process that has nothing cached: what a restart of the server would do."""
    fresh = World(scene.world.database, scene.clock, scene.world.home)
    fresh.people.eligible_people = scene.world.people.eligible_people
    return await fresh.service.collect_token(agent, record.request.request_id)
