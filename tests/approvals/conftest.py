from __future__ import annotations

from pathlib import Path

import pytest_asyncio

from server_kit.database.base import Database
from tests.approvals.world import World, create_schema
from tests.conftest import ManualClock


@pytest_asyncio.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    """The approval core on a fresh database, once for each dialect."""
    await create_schema(database)
    return World(database, clock, tmp_path)
