from __future__ import annotations

import pytest_asyncio

from server_kit.database.base import Database
from tests.conftest import ManualClock
from tests.identity.directories import Directories, open_directories


@pytest_asyncio.fixture
async def directories(database: Database, clock: ManualClock) -> Directories:
    return await open_directories(database, clock)
