"""Migrations on both dialects: whole or not at all, once, and never backwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, text

from server_kit.database.migrations import migrate, schema_differences, schema_is_current
from server_kit.database.opening import open_database
from server_kit.errors import SchemaTooNew

metadata = MetaData()
Table(
    "notes", metadata, Column("id", Integer, primary_key=True), Column("body", String), Column("tag", String)
)

FIRST = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("body", sa.String))
    op.execute("INSERT INTO notes (id, body) VALUES (1, 'kept')")
"""
SECOND = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.add_column("notes", sa.Column("tag", sa.String))
"""
BROKEN = """
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.execute("UPDATE notes SET body = 'lost'")
    op.execute("THIS IS NOT SQL")
"""


def scripts(directory: Path, *revisions: str) -> Path:
    versions = directory / "versions"
    versions.mkdir(parents=True)
    for number, revision in enumerate(revisions, 1):
        (versions / f"{number:04}_step.py").write_text(revision)
    return directory


async def bodies(url: str) -> list[str]:
    database = await open_database(url)
    rows = await database.read(lambda connection: connection.scalars(text("SELECT body FROM notes")))
    await database.close()
    return list(rows)


async def test_an_empty_database_gets_the_whole_schema_and_an_older_one_what_it_lacks(
    database_url: str, tmp_path: Path
) -> None:
    await migrate(database_url, scripts(tmp_path / "old", FIRST))
    assert await bodies(database_url) == ["kept"]
    new = scripts(tmp_path / "new", FIRST, SECOND)
    await migrate(database_url, new)
    await migrate(database_url, new)
    database = await open_database(database_url)
    assert await schema_is_current(database, new)
    assert await schema_differences(database, metadata) == []
    await database.close()
    assert await bodies(database_url) == ["kept"]


async def test_a_schema_of_a_newer_release_is_refused_and_left_alone(
    database_url: str, tmp_path: Path
) -> None:
    await migrate(database_url, scripts(tmp_path / "new", FIRST, SECOND))
    with pytest.raises(SchemaTooNew, match="'0002' of a newer release; this one knows up to '0001'"):
        await migrate(database_url, scripts(tmp_path / "old", FIRST))
    assert await bodies(database_url) == ["kept"]


async def test_a_migration_that_fails_leaves_everything_as_it_was(database_url: str, tmp_path: Path) -> None:
    old = scripts(tmp_path / "old", FIRST)
    await migrate(database_url, old)
    with pytest.raises(Exception, match="syntax error"):
        await migrate(database_url, scripts(tmp_path / "broken", FIRST, BROKEN))
    assert await bodies(database_url) == ["kept"]
    database = await open_database(database_url)
    assert await schema_is_current(database, old)
    await database.close()


async def test_several_that_migrate_at_once_do_it_once(database_url: str, tmp_path: Path) -> None:
    location = scripts(tmp_path / "new", FIRST, SECOND)
    await asyncio.gather(*(migrate(database_url, location) for _ in range(5)))
    assert await bodies(database_url) == ["kept"]


async def test_a_difference_between_tables_and_metadata_is_named(database_url: str, tmp_path: Path) -> None:
    await migrate(database_url, scripts(tmp_path / "old", FIRST))
    database = await open_database(database_url)
    differences = await schema_differences(database, metadata)
    await database.close()
    assert len(differences) == 1
    assert "tag" in differences[0]
