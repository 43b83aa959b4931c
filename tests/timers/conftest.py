from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest_asyncio

from hitl_mcp.approvals.terms import Terms
from server_kit.database.base import Database
from tests.approvals.world import World, create_schema
from tests.conftest import ManualClock
from tests.timers.asking import OnTerms

WorldOn = Callable[[Terms], World]


@pytest_asyncio.fixture
async def world_on(database: Database, clock: ManualClock, tmp_path: Path) -> WorldOn:
    """Makes an approval core whose rule asks on these terms, once for each dialect."""
    await create_schema(database)
    return lambda terms: World(database, clock, tmp_path, OnTerms(terms))
