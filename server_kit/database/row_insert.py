"""An INSERT of one row that is made again and again.

Over SQLite the statement is compiled once and then handed to the driver as it is: what SQLAlchemy does for
each execution takes several times as long as inserting a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Dialect, Insert
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from server_kit.database.sqlite_driver import InlineConnection


@dataclass(frozen=True, slots=True)
class _Compiled:
    text: str
    values: tuple[tuple[str, Callable[[Any], Any] | None], ...]


class RowInsert:
    """`statement` has no parameters but the columns of its row, and no defaults that Python makes."""

    def __init__(self, statement: Insert) -> None:
        self._statement = statement
        self._compiled: dict[tuple[str, ...], _Compiled] = {}

    async def execute(self, connection: AsyncConnection, row: Mapping[str, Any]) -> int:
        """Insert the row, by the names of columns; return 0 where a conflict clause left it out, and else 1.

        Raises sqlalchemy.exc.DBAPIError, or StatementError for a value that its column does not take.
        """
        if not isinstance(connection, InlineConnection):
            return (await connection.execute(self._statement, dict(row))).rowcount
        names = tuple(row)
        compiled = self._compiled.get(names)
        if compiled is None:
            compiled = self._compiled[names] = _compile(self._statement, names, connection.dialect)
        try:
            values = [row[name] if bind is None else bind(row[name]) for name, bind in compiled.values]
        except Exception as error:
            raise StatementError(str(error), compiled.text, None, error, hide_parameters=True) from error
        return connection.change(compiled.text, values).rowcount


def _compile(statement: Insert, names: tuple[str, ...], dialect: Dialect) -> _Compiled:
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    wanted = tuple(compiled.positiontup or ())
    if compiled.insert_prefetch or set(wanted) != set(names):
        raise ValueError(f"{statement.table.name}: a row of {', '.join(names)} needs more than these values")
    binds = (compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect) for name in wanted)
    return _Compiled(compiled.string, tuple(zip(wanted, binds, strict=True)))
