"""Fixtures of the executor's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from server_kit.database.base import Database
from server_kit.database.opening import open_database
from tests.executor.support import Bench, bench, create_tables


@pytest_asyncio.fixture
async def store(sqlite_url: str) -> AsyncIterator[Database]:
    """A SQLite database with the executor's tables."""
    database = await open_database(sqlite_url)
    await create_tables(database)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def either_store(database: Database) -> Database:
    """The executor's tables, once on each database."""
    await create_tables(database)
    return database


@pytest_asyncio.fixture
async def ready(store: Database, tmp_path: Path) -> AsyncIterator[Bench]:
    """An executor that has begun, with the sandbox twin."""
    made = bench(store, tmp_path)
    await made.executor.recovery.begin()
    yield made
    await made.executor.service.close()
    await made.executor.recovery.end()
