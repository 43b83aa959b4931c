"""Fills an approval server's database with requests of the past, through its own schema and audit log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.servers import AGENT, Home
from hitl_contract.action import action_digest, canonical_action, parse_action
from hitl_mcp.application import Application
from hitl_mcp.approvals import events
from hitl_mcp.settings import read_settings
from hitl_mcp.storage.schema import actions, deadlines, requests
from hitl_mcp.wiring import build_application
from server_kit.identifiers import new_identifier

BATCH = 2_000

# One in ten still waits for a person, with a deadline of its own.
_STATUSES = ("PENDING", *("DENIED",) * 4, *("TIMEOUT",) * 3, *("CANCELLED",) * 2)


async def store_requests(home: Home, count: int) -> None:
    """Add `count` requests with their actions, deadlines and audit entries."""
    async with build_application(read_settings(home.environment())) as application:
        for first in range(0, count, BATCH):
            await _store_batch(application, range(first, min(first + BATCH, count)))

        async def stored(connection: AsyncConnection) -> int:
            return len((await connection.execute(select(requests.c.request_id))).all())

        if await application.database.read(stored) < count:
            raise RuntimeError("not every request was stored")


async def _store_batch(application: Application, numbers: Sequence[int]) -> None:
    rows = [rows_of(application, number) for number in numbers]

    async def operation(connection: AsyncConnection) -> None:
        await connection.execute(insert(actions), [action for action, _ in rows])
        await connection.execute(insert(requests), [request for _, request in rows])
        waiting = [request for _, request in rows if request["status"] == "PENDING"]
        await connection.execute(
            insert(deadlines),
            [
                {"request_id": row["request_id"], "kind": "expiry", "due_at": row["expires_at"]}
                for row in waiting
            ],
        )
        for _, row in rows:
            await application.audit.append(
                connection,
                events.CREATED,
                actor=events.agent_actor(AGENT),
                subject=row["request_id"],
                details={"seal": row["seal"]},
            )

    await application.database.write(operation)


def rows_of(application: Application, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rows of one action and of one request of the past."""
    action = parse_action({"type": "code_execution", "language": "python", "code": f"print('past {number}')"})
    digest = action_digest(action)
    created = application.clock.now() - timedelta(days=2)
    status = _STATUSES[number % len(_STATUSES)]
    return (
        {"digest": digest, "canonical": canonical_action(action), "created_at": created},
        {
            "request_id": new_identifier("req"),
            "agent": AGENT if number % 2 else "another-agent",
            "action_type": action.type,
            "action_digest": digest,
            "display_digest": digest,
            "justification": "a request of the past",
            "risk_level": "low",
            "status": status,
            "policy": "default",
            "required_approvals": 1,
            "required_assurance": "chat",
            "created_at": created,
            "expires_at": created + timedelta(days=9),
            "decided_at": None if status == "PENDING" else created,
            "metadata": {},
            "version": 1,
            "seal": digest,
            "attachable_digest": digest if status == "PENDING" else None,
        },
    )
