"""Bringing a database to the schema of this release.

All steps that are missing run in one write of the database seam: whole or not at all, and one process at a
time. Alembic is imported where it is used, because a server that finds its schema up to date has no use for
most of it.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, MetaData, String, column, inspect, select, table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from server_kit.database.base import Database
from server_kit.database.opening import open_database
from server_kit.errors import SchemaTooNew

VERSION_TABLE = "alembic_version"
# Tables that belong to the seam itself and not to a server's schema.
OWN_TABLES = frozenset({VERSION_TABLE, "change_feed"})

PATIENCE_SECONDS = 60.0
MIGRATION_SECONDS = 3600.0


async def migrate(url: str, script_location: Path) -> None:
    """Run the Alembic revisions under `script_location` (its folder `versions`) that the database at `url`
    lacks.

    Raises SchemaTooNew when a newer release has been there, and what `open_database` raises.
    """
    database = await open_database(
        url, patience_seconds=PATIENCE_SECONDS, operation_seconds=MIGRATION_SECONDS
    )
    try:
        if not await schema_is_current(database, script_location):
            await database.write(lambda connection: connection.run_sync(_upgrade, script_location))
    finally:
        await database.close()


async def schema_is_current(database: Database, script_location: Path) -> bool:
    """Whether the database has this release's schema. Raises SchemaTooNew when it has a newer one."""

    async def operation(connection: AsyncConnection) -> str | None:
        return await connection.run_sync(_version)

    version = await database.read(operation)
    return _known(version, script_location)


async def schema_differences(database: Database, metadata: MetaData) -> list[str]:
    """Say in what the database's tables differ from `metadata`, for tests that compare the two."""
    return await database.read(lambda connection: connection.run_sync(_differences, metadata))


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.scalar(select(column("version_num", String)).select_from(table(VERSION_TABLE)))
    return None if found is None else str(found)


def _known(version: str | None, script_location: Path) -> bool:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(script_location))
    revisions = {revision.revision for revision in script.walk_revisions()}
    if version is not None and version not in revisions:
        raise SchemaTooNew(
            f"the database has the schema {version!r} of a newer release; this one knows up to "
            f"{script.get_current_head()!r}: install the newer release, or restore a backup made before it"
        )
    return version == script.get_current_head()


def _upgrade(connection: Connection, script_location: Path) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    if _known(_version(connection), script_location):
        return
    if connection.dialect.name == "sqlite":
        # Rebuilding a table takes it away for a moment; foreign keys are checked at the commit instead.
        connection.execute(text("PRAGMA defer_foreign_keys=ON"))
    script = ScriptDirectory(str(script_location))
    context = MigrationContext.configure(
        connection,
        opts={
            "fn": lambda revision, _context: script._upgrade_revs("head", revision),  # pyright: ignore
            "script": script,
            "transactional_ddl": False,
        },
    )
    with Operations.context(context):
        context.run_migrations()


def _differences(connection: Connection, metadata: MetaData) -> list[str]:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": _is_servers})
    return [repr(difference) for difference in compare_metadata(context, metadata)]


def _is_servers(name: str | None, kind: str, _parents: object) -> bool:
    return not (kind == "table" and name in OWN_TABLES)
