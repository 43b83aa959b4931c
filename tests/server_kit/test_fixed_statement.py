"""A statement that is compiled once finds and changes what SQLAlchemy would."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    FromClause,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    func,
    select,
    true,
)
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.storage.columns import UtcTime
from server_kit.database.base import Database
from server_kit.database.fixed_statement import FixedStatement
from server_kit.database.sqlite_driver import SqliteConnection

metadata = MetaData()
things = Table(
    "things",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", UtcTime),
    Column("is_good", Boolean),
    Column("data", LargeBinary),
    Column("count", Integer, nullable=False, server_default="7"),
)
AT = datetime(2026, 11, 21, 12, 0, 0, 5, UTC)
ROWS: list[dict[str, Any]] = [
    {"name": "a", "at": AT, "is_good": True, "data": b"\x00\xff", "count": 0},
    {"name": "b", "at": None, "is_good": None, "data": None, "count": -1},
    {
        "name": "\u2028😀'\"",
        "at": datetime(1970, 1, 1, tzinfo=UTC),
        "is_good": False,
        "data": b"",
        "count": 7,
    },
]
BY_NAME = FixedStatement(select(things).where(things.c.name == bindparam("wanted")))


@pytest.fixture
async def store(database: Database) -> Database:
    async def make(connection: AsyncConnection) -> None:
        await connection.run_sync(metadata.create_all)
        await connection.execute(things.insert(), ROWS)

    await database.write(make)
    return database


async def test_a_row_has_the_names_types_and_values_that_sqlalchemy_reads(store: Database) -> None:
    async def read(connection: AsyncConnection) -> None:
        for row in ROWS:
            (expected,) = await connection.execute(select(things).where(things.c.name == row["name"]))
            found = await BY_NAME.row(connection, wanted=row["name"])
            assert found is not None
            assert tuple(found) == tuple(expected)
            assert {name: getattr(found, name) for name in row} == row
            assert type(found.is_good) is type(row["is_good"])
        assert await BY_NAME.row(connection, wanted="none such") is None

    await store.read(read)


async def test_values_that_belong_to_the_statement_stay_in_it(store: Database) -> None:
    first = FixedStatement(
        select(things.c.name, func.length(things.c.name).label("length"))
        .where(things.c.count >= 0, things.c.at <= bindparam("until"))
        .order_by(things.c.name)
        .limit(1)
    )
    good = FixedStatement(
        things.update()
        .where(things.c.name == bindparam("wanted"), things.c.is_good == True)  # noqa: E712
        .values(at=bindparam("moment"), is_good=False)
    )

    async def write(connection: AsyncConnection) -> None:
        assert [tuple(row) for row in await first.rows(connection, until=AT)] == [("a", 1)]
        later = AT.replace(year=2027)
        assert await good.change(connection, wanted="a", moment=later) == 1
        assert await good.change(connection, wanted="a", moment=AT) == 0
        row = await BY_NAME.row(connection, wanted="a")
        assert row is not None
        assert (row.at, row.is_good) == (later, False)

    await store.write(write)


async def test_a_statement_whose_text_depends_on_its_values_is_refused(store: Database) -> None:
    any_of = FixedStatement(select(things).where(things.c.name.in_(bindparam("names", expanding=True))))
    if store.dialect == "sqlite":
        with pytest.raises(ValueError, match="depends on its values"):
            await store.read(lambda connection: any_of.rows(connection, names=["a"]))


async def test_errors_are_sqlalchemys_and_quote_no_value(store: Database) -> None:
    rename = FixedStatement(
        things.update().where(things.c.name == bindparam("wanted")).values(name=bindparam("other"))
    )
    with pytest.raises(DBAPIError) as caught:
        await store.write(lambda connection: rename.change(connection, wanted="b", other="a"))
    if store.dialect == "sqlite":
        assert isinstance(caught.value.orig, sqlite3.IntegrityError)
        assert "'a'" not in str(caught.value)
    late = FixedStatement(select(things).where(things.c.at < bindparam("until")))
    with pytest.raises(StatementError):
        await store.read(lambda connection: late.rows(connection, until="yesterday"))
    with pytest.raises(StatementError):
        await store.read(lambda connection: late.rows(connection))


async def test_a_query_that_takes_long_is_finished_in_a_thread(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables: FromClause = things.alias("t")
    for n in range(10):
        tables = tables.join(things.alias(f"t{n}"), true())
    crossed = select(func.count().label("rows")).select_from(tables)
    in_thread: list[bool] = []
    original = SqliteConnection.in_thread

    async def noted(self: SqliteConnection, *arguments: Any, **options: Any) -> Any:
        in_thread.append(True)
        return await original(self, *arguments, **options)

    monkeypatch.setattr(SqliteConnection, "in_thread", noted)
    row = await store.read(FixedStatement(crossed).row)
    assert row is not None
    assert row.rows == len(ROWS) ** 11
    assert bool(in_thread) == (store.dialect == "sqlite")
