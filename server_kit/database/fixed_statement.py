"""A statement that is run again and again with other values.

Over SQLite it is compiled once and then handed to the driver as it is: what SQLAlchemy does each time
(looking the statement up by all of its parts, a result with its metadata) takes many times as long as
finding a row by its key.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ClauseElement, Dialect, Executable
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import SelectBase

from server_kit.database.sqlite_driver import InlineConnection

_Process = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class _Value:
    """`name` is the caller's; None for a value that the statement has in itself, ready for the driver."""

    name: str | None
    bind: _Process
    fixed: Any = None


@dataclass(frozen=True, slots=True)
class _Compiled:
    text: str
    values: tuple[_Value, ...]
    make_row: Callable[[Sequence[Any]], Any]


class FixedStatement:
    """Each value that changes is a `bindparam` of `statement`: a SELECT, an UPDATE or a DELETE."""

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._compiled: _Compiled | None = None

    async def rows(self, connection: AsyncConnection, **values: Any) -> Sequence[Any]:
        """All rows of a SELECT: tuples with the names of its columns.

        Raises sqlalchemy.exc.DBAPIError, or StatementError for a value that its column does not take.
        """
        if not isinstance(connection, InlineConnection):
            return (await connection.execute(self._statement, values)).all()
        compiled = self._for(connection.dialect)
        found = await connection.query(compiled.text, _bound(compiled, values))
        return [compiled.make_row(row) for row in found]

    async def row(self, connection: AsyncConnection, **values: Any) -> Any | None:
        """The only row of a SELECT by a key; None where there is none. Raises as `rows` does."""
        found = await self.rows(connection, **values)
        return found[0] if found else None

    async def change(self, connection: AsyncConnection, **values: Any) -> int:
        """How many rows an UPDATE or a DELETE has changed. Raises as `rows` does."""
        if not isinstance(connection, InlineConnection):
            return (await connection.execute(self._statement, values)).rowcount
        compiled = self._for(connection.dialect)
        return connection.change(compiled.text, _bound(compiled, values)).rowcount

    def _for(self, dialect: Dialect) -> _Compiled:
        if self._compiled is None:
            self._compiled = _compile(self._statement, dialect)
        return self._compiled


def _bound(compiled: _Compiled, values: Mapping[str, Any]) -> list[Any]:
    try:
        return [
            value.fixed
            if value.name is None
            else values[value.name]
            if value.bind is None
            else value.bind(values[value.name])
            for value in compiled.values
        ]
    except Exception as error:
        raise StatementError(str(error), compiled.text, None, error, hide_parameters=True) from error


def _compile(statement: Executable, dialect: Dialect) -> _Compiled:
    compiled = cast("SQLCompiler", cast("ClauseElement", statement).compile(dialect=dialect))
    if compiled.post_compile_params or compiled.literal_execute_params:
        raise ValueError(f"its text depends on its values: {compiled.string}")
    values: list[_Value] = []
    for name in compiled.positiontup or ():
        parameter = compiled.binds[name]
        bind = parameter.type.dialect_impl(dialect).bind_processor(dialect)
        if parameter.required:
            values.append(_Value(name, bind))
        else:
            fixed = parameter.effective_value
            values.append(_Value(None, None, fixed if bind is None else bind(fixed)))
    columns = statement.selected_columns if isinstance(statement, SelectBase) else ()
    return _Compiled(compiled.string, tuple(values), _row_maker(list(columns), dialect))


def _row_maker(columns: Sequence[Any], dialect: Dialect) -> Callable[[Sequence[Any]], Any]:
    names: list[str] = [column.name for column in columns]
    row = namedtuple("row", names, rename=True)  # pyright: ignore[reportUntypedNamedTuple]
    processors = [
        (number, processor)
        for number, column in enumerate(columns)
        if (processor := column.type.dialect_impl(dialect).result_processor(dialect, None)) is not None
    ]
    if not processors:
        return row._make

    def make(values: Sequence[Any]) -> Any:
        given = list(values)
        for number, processor in processors:
            given[number] = processor(given[number])
        return row._make(given)

    return make
