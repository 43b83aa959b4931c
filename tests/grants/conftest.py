from __future__ import annotations

from pathlib import Path

import pytest_asyncio

from server_kit.database.base import Database
from tests.approvals.world import create_schema
from tests.conftest import ManualClock
from tests.grants.scene import Scene


@pytest_asyncio.fixture
async def scene(database: Database, clock: ManualClock, tmp_path: Path) -> Scene:
    """ada and bob approve; payer asks, and a person of that name approves too. Once for each dialect."""
    await create_schema(database)
    scene = Scene(database, clock, tmp_path)
    for person in ("ada", "bob", "payer"):
        await scene.people.add(person, None)
    await scene.agents.add("payer")
    return scene
