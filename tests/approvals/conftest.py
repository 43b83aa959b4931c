from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest_asyncio

from hitl_mcp.approvals.ports import Policy
from server_kit.database.base import Database
from tests.approvals.world import World, create_schema
from tests.conftest import ManualClock

WorldFactory = Callable[[Policy], World]


@pytest_asyncio.fixture
async def database_world(database: Database, clock: ManualClock, tmp_path: Path) -> WorldFactory:
    """Makes the approval core with a policy of the test's own, once for each dialect."""
    await create_schema(database)
    return lambda policy: World(database, clock, tmp_path, policy)


@pytest_asyncio.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    """The approval core on a fresh database, once for each dialect."""
    await create_schema(database)
    return World(database, clock, tmp_path)
