"""The migrations and the metadata describe one schema."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.storage.schema import MIGRATIONS, metadata
from server_kit.database.migrations import migrate, schema_differences
from server_kit.database.opening import open_database
from server_kit.errors import SchemaTooNew
from tests.executor.support import bench


async def test_the_migrations_make_exactly_the_tables_of_the_metadata(database_url: str) -> None:
    await migrate(database_url, MIGRATIONS)
    await migrate(database_url, MIGRATIONS)

    database = await open_database(database_url)
    try:
        assert await schema_differences(database, metadata) == []
    finally:
        await database.close()


async def test_a_migrated_database_runs_programs_and_refuses_to_rewrite_its_audit_log(
    database_url: str, tmp_path: Path
) -> None:
    await migrate(database_url, MIGRATIONS)
    database = await open_database(database_url)
    made = bench(database, tmp_path)
    try:
        assert (await made.run()).outcome is not None

        async def forge(connection: AsyncConnection) -> None:
            await connection.execute(text("UPDATE audit_entries SET actor = 'nobody'"))

        with pytest.raises(Exception, match="append-only"):
            await database.write(forge)
    finally:
        await database.close()


async def test_a_newer_schema_is_refused(database_url: str) -> None:
    await migrate(database_url, MIGRATIONS)
    database = await open_database(database_url)

    async def age(connection: AsyncConnection) -> None:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999_future'"))

    await database.write(age)
    await database.close()

    with pytest.raises(SchemaTooNew, match="9999_future"):
        await migrate(database_url, MIGRATIONS)
