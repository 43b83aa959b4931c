"""Runs SQL statements over a scratch SQLite database and reports the rows of the last one that has any.

The argument is the program's path. The result is `{"columns": [...], "rows": [[...], ...], "truncated":
bool}`, where a blob is `{"base64": "..."}`. Input data is bound to every statement as `:input_data` (its
JSON text, for `json_each`), the members of an object as `:name` besides, and an array of objects is also
the table `input_data`. Databases in the work directory can be attached.
"""

from __future__ import annotations

import base64
import json
import math
import os
import sqlite3
import sys
from collections.abc import Iterator
from typing import cast

RESULT_DESCRIPTOR = 3


def statements(script: str) -> Iterator[str]:
    """Splits where SQLite says that a statement is complete: it knows quotes, comments and triggers."""
    start = end = 0
    while True:
        end = script.find(";", end) + 1
        if end == 0:
            break
        if sqlite3.complete_statement(script[start:end]):
            yield script[start:end]
            start = end
    if script[start:].strip():
        yield script[start:]


def scalar(value: object) -> object:
    """A JSON value as SQLite can hold it: what has members is kept as its JSON text."""
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def make_table(database: sqlite3.Connection, rows: list[dict[str, object]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if columns:
        database.execute(f"CREATE TABLE input_data ({', '.join(map(quoted, columns))})")
        places = ", ".join("?" * len(columns))
        cells = [[scalar(row.get(name)) for name in columns] for row in rows]
        database.executemany(f"INSERT INTO input_data VALUES ({places})", cells)  # noqa: S608


def load(database: sqlite3.Connection, input_data: object) -> dict[str, object]:
    """Makes the input's table where it has one; returns the parameters."""
    parameters: dict[str, object] = {}
    if isinstance(input_data, dict):
        members = cast("dict[str, object]", input_data)
        parameters.update({name: scalar(value) for name, value in members.items()})
    if isinstance(input_data, list):
        rows = [
            cast("dict[str, object]", row)
            for row in cast("list[object]", input_data)
            if isinstance(row, dict)
        ]
        if rows and len(rows) == len(cast("list[object]", input_data)):
            make_table(database, rows)
    parameters["input_data"] = json.dumps(input_data)
    return parameters


def decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def cell(value: object) -> object:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def rows_within(cursor: sqlite3.Cursor, bound: int) -> dict[str, object]:
    """Reads rows while their JSON stays within the bound: never more than that is held."""
    columns = [column[0] for column in cursor.description]
    rows: list[list[object]] = []
    used = len(json.dumps(columns)) + 100
    for row in cursor:
        cells = [cell(value) for value in row]
        used += len(json.dumps(cells)) + 2
        if used > bound:
            return {"columns": columns, "rows": rows, "truncated": True}
        rows.append(cells)
    return {"columns": columns, "rows": rows, "truncated": False}


def main() -> int:
    # Line breaks as they are: one that was made of a carriage return would end a comment that goes on.
    with open(sys.argv[1], encoding="utf-8", newline="") as file:
        script = file.read()
    with open(os.environ["INPUT_DATA"], encoding="utf-8") as file:
        input_data = json.load(file)
    bound = int(os.environ["RESULT_BYTES"])
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.text_factory = decode
    result: dict[str, object] | None = None
    try:
        parameters = load(database, input_data)
        for statement in statements(script):
            cursor = database.execute(statement, parameters)
            if cursor.description is not None:
                result = rows_within(cursor, bound)
            cursor.close()
    except (sqlite3.Error, OverflowError, UnicodeError) as error:
        sys.stderr.write(f"SQL error: {error}\n")
        return 1
    finally:
        database.close()
    if result is not None:
        remaining = json.dumps(result).encode()
        while remaining:
            remaining = remaining[os.write(RESULT_DESCRIPTOR, remaining) :]
    return 0


if __name__ == "__main__":
    sys.exit(main())
