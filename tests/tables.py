"""The tables of a server's schema in a fresh database, for tests that are not about migrations."""

from __future__ import annotations

from sqlalchemy import MetaData, create_mock_engine, inspect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import ExecutableDDLElement

from server_kit.database.base import Database

_WRITTEN: dict[tuple[MetaData, str], tuple[str, ...]] = {}


async def create_tables(database: Database, metadata: MetaData) -> None:
    """What `metadata.create_all` does. Hundreds of tests need it: written once, sent whole."""

    async def operation(connection: AsyncConnection) -> None:
        present = set(await connection.run_sync(lambda each: inspect(each).get_table_names()))
        if present & set(metadata.tables):
            await connection.run_sync(metadata.create_all)
            return
        statements = _statements(metadata, connection.dialect.name)
        if connection.dialect.name == "postgresql":
            raw = await connection.get_raw_connection()
            await raw.driver_connection.execute(";\n".join(statements))
            return
        for statement in statements:
            await connection.run_sync(lambda each, text=statement: each.exec_driver_sql(text))

    await database.write(operation)


def _statements(metadata: MetaData, dialect: str) -> tuple[str, ...]:
    if (metadata, dialect) not in _WRITTEN:
        written: list[str] = []

        def write(element: ExecutableDDLElement, *_: object, **__: object) -> None:
            written.append(str(element.compile(dialect=engine.dialect)))

        engine = create_mock_engine(f"{dialect}://", write)
        metadata.create_all(engine, checkfirst=False)
        _WRITTEN[metadata, dialect] = tuple(written)
    return _WRITTEN[metadata, dialect]
