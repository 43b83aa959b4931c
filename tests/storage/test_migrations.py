"""The migrations make the schema that the code is written against, on both databases."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.storage.migrations import SCRIPT_LOCATION
from hitl_mcp.storage.schema import metadata
from server_kit.database.base import Database
from server_kit.database.migrations import migrate, schema_differences, schema_is_current
from server_kit.database.opening import open_database
from server_kit.errors import SchemaTooNew

SCHEMA_SQL = {
    "sqlite": "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name NOT IN ('alembic_version')",
    "postgresql": (
        "SELECT pg_get_constraintdef(oid) || conname FROM pg_constraint "
        "WHERE conrelid::regclass::text <> 'alembic_version' AND connamespace = 'public'::regnamespace "
        "UNION ALL SELECT indexdef FROM pg_indexes "
        "WHERE schemaname = 'public' AND tablename <> 'alembic_version' "
        "UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal "
        "UNION ALL SELECT table_name || column_name || data_type || is_nullable || "
        "coalesce(column_default, '') FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
    ),
}


async def described(database: Database) -> set[str]:
    """Everything the database knows about its schema, without white space and quotes."""

    async def operation(connection: AsyncConnection) -> set[str]:
        found = (await connection.execute(text(SCHEMA_SQL[database.dialect]))).scalars()
        return {"".join(str(each).replace('"', "").split()) for each in found}

    return await database.read(operation)


async def test_the_migrations_and_the_metadata_describe_the_same_tables(database_url: str) -> None:
    await migrate(database_url, SCRIPT_LOCATION)
    database = await open_database(database_url)
    assert await schema_differences(database, metadata) == []
    await database.close()


async def test_the_migrations_make_exactly_what_the_metadata_would(
    database_url: str,
) -> None:
    """Constraints, triggers, defaults and nullability too, which Alembic's comparison leaves out."""
    migrated = await open_database(database_url)
    before = await described(migrated)
    await migrated.write(lambda connection: connection.run_sync(metadata.create_all))
    created = await described(migrated)
    await migrated.write(lambda connection: connection.run_sync(metadata.drop_all))
    assert await described(migrated) == before
    await migrated.close()
    await migrate(database_url, SCRIPT_LOCATION)
    migrated = await open_database(database_url)
    assert await described(migrated) == created
    await migrated.close()


async def test_migrating_twice_and_from_several_processes_at_once_is_harmless(database_url: str) -> None:
    await asyncio.gather(*(migrate(database_url, SCRIPT_LOCATION) for _ in range(3)))
    await migrate(database_url, SCRIPT_LOCATION)
    database = await open_database(database_url)
    assert await schema_is_current(database, SCRIPT_LOCATION)
    await database.close()


async def test_a_newer_schema_is_refused_and_left_alone(database_url: str) -> None:
    await migrate(database_url, SCRIPT_LOCATION)
    database = await open_database(database_url)
    await database.write(
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999_future'"))
    )
    before = await described(database)
    with pytest.raises(SchemaTooNew, match="9999_future"):
        await migrate(database_url, SCRIPT_LOCATION)
    assert await described(database) == before
    await database.close()


@pytest.mark.parametrize("statement", ["UPDATE audit_entries SET actor = 'x'", "DELETE FROM audit_entries"])
async def test_a_migrated_database_refuses_to_change_the_audit_log(database_url: str, statement: str) -> None:
    await migrate(database_url, SCRIPT_LOCATION)
    database = await open_database(database_url)
    row = "INSERT INTO audit_entries VALUES (1, 'c', 'at', 'e', 'a', 's', '{}', 'p', 'h')"
    await database.write(lambda connection: connection.execute(text(row)))
    with pytest.raises(DBAPIError, match="append-only"):
        await database.write(lambda connection: connection.execute(text(statement)))
    await database.close()
