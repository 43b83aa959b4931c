"""A row that is inserted by a prepared statement is the row that SQLAlchemy would insert."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, Text, insert, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.storage.schema.metadata import JsonText, UtcTime
from server_kit.database.base import Database
from server_kit.database.row_insert import RowInsert

metadata = MetaData()
things = Table(
    "things",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", UtcTime),
    Column("document", JsonText),
    Column("data", LargeBinary),
    Column("count", Integer, nullable=False, server_default="7"),
)
counted = Table("counted", MetaData(), Column("name", Text), Column("count", Integer, default=1))

EAST = timezone(timedelta(hours=2))
ROWS: list[dict[str, Any]] = [
    {"name": "a", "at": datetime(2026, 11, 21, 12, 0, 0, 5, EAST), "document": {"é": [1, None]}, "count": 0},
    {"name": "b", "at": None, "document": None, "data": b"\x00\xff", "count": -1},
    {"data": b"", "name": "\u2028😀'\"", "at": datetime(1970, 1, 1, tzinfo=UTC)},
]


@pytest.fixture
async def store(database: Database) -> Database:
    await database.write(lambda connection: connection.run_sync(metadata.create_all))
    return database


async def rows(store: Database) -> list[tuple[Any, ...]]:
    async def operation(connection: AsyncConnection) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await connection.execute(select(things).order_by(things.c.name))]

    return await store.read(operation)


async def test_rows_of_every_type_and_any_order_of_columns_are_as_sqlalchemy_inserts_them(
    store: Database,
) -> None:
    prepared = RowInsert(insert(things))

    async def by_sqlalchemy(connection: AsyncConnection) -> None:
        for row in ROWS:
            await connection.execute(insert(things), row)

    async def by_us(connection: AsyncConnection) -> None:
        await connection.execute(things.delete())
        for row in ROWS:
            assert await prepared.execute(connection, row) == 1

    await store.write(by_sqlalchemy)
    expected = await rows(store)
    await store.write(by_us)
    assert await rows(store) == expected
    assert len(expected) == len(ROWS)


async def test_a_conflict_that_is_left_out_inserts_nothing(store: Database) -> None:
    dialect = sqlite_insert if store.dialect == "sqlite" else postgresql_insert
    prepared = RowInsert(dialect(things).on_conflict_do_nothing(index_elements=["name"]))

    async def twice(connection: AsyncConnection) -> list[int]:
        return [await prepared.execute(connection, {"name": "a", "count": n}) for n in range(2)]

    assert await store.write(twice) == [1, 0]
    assert [row[-1] for row in await rows(store)] == [0]


async def test_what_the_database_refuses_is_sqlalchemys_error_and_quotes_no_value(store: Database) -> None:
    prepared = RowInsert(insert(things))

    async def refused(connection: AsyncConnection) -> None:
        for _ in range(2):
            await prepared.execute(connection, {"name": "a secret", "count": 1})

    with pytest.raises(IntegrityError) as caught:
        await store.write(refused)
    if store.dialect == "sqlite":
        assert "a secret" not in str(caught.value)
    assert await rows(store) == []


async def test_a_default_that_python_makes_is_not_left_out_silently(store: Database) -> None:
    if store.dialect == "sqlite":
        with pytest.raises(ValueError, match="counted"):
            await store.write(
                lambda connection: RowInsert(insert(counted)).execute(connection, {"name": "a"})
            )
