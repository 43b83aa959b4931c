from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest_asyncio

from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.attention.canary_store import SqlCanaries
from server_kit.database.base import Database
from tests.approvals.world import World, create_schema
from tests.conftest import ManualClock
from tests.tools.conftest import server, template

__all__ = ["server", "template"]


@pytest_asyncio.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    """The approval core with a book of drills, once for each dialect."""
    await create_schema(database)
    return drilled(World(database, clock, tmp_path))


def drilled(world: World) -> World:
    world.ports = replace(world.ports, canaries=SqlCanaries(world.database))
    world.service = ApprovalService(world.ports)
    return world
