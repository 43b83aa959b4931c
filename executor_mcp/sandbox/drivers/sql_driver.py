"""Runs SQL statements over a scratch database and reports the rows of the last one that has any.

The argument is the program's path. The engine is SQLite, or what the variable SQL_ENGINE says. The result is
`{"columns": [...], "types": [...], "rows": [[...], ...], "truncated": bool}`, where a blob is
`{"base64": "..."}`, times are ISO 8601, and other values that JSON lacks are their text.

Input data is a parameter of every statement (`:input_data`, `$input_data` for DuckDB; its JSON text), the
members of an object are parameters besides, and an array of objects is also the table `input_data`. A file
beside the program is a table called like its path, with `_` for what no name has: `data/in.csv` is `data_in`.
"""

from __future__ import annotations

import base64
import csv
import json
import math
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any, cast

RESULT_DESCRIPTOR = 3
ROWS_AT_A_TIME = 1000
SQLITE_HEADER = b"SQLite format 3\0"


class SqlError(Exception):
    """What is wrong with a statement or a file, for the program's standard error."""


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def scalar(value: object) -> object:
    """A JSON value as a database can hold it: what has members is kept as its JSON text."""
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def objects(value: object) -> list[dict[str, object]] | None:
    """The value as rows, or None where it is not an array of objects."""
    if not isinstance(value, list) or not value:
        return None
    rows = cast("list[object]", value)
    if not all(isinstance(row, dict) for row in rows):
        return None
    return cast("list[dict[str, object]]", rows)


def parameters_of(input_data: object) -> dict[str, object]:
    members = cast("dict[str, object]", input_data) if isinstance(input_data, dict) else {}
    return {**{name: scalar(value) for name, value in members.items()}, "input_data": json.dumps(input_data)}


def cell(value: object) -> object:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (bytes, bytearray)):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [cell(item) for item in cast("Iterable[object]", value)]
    if isinstance(value, dict):
        members = cast("dict[object, object]", value)
        return {str(name): cell(item) for name, item in members.items()}
    moment: Any = value
    return moment.isoformat() if hasattr(moment, "isoformat") else str(moment)


def rows_within(rows: Iterable[Iterable[object]], columns: list[str], bound: int) -> dict[str, object]:
    """Reads rows while their JSON stays within the bound: never more than that is held."""
    kept: list[list[object]] = []
    # The types are about as long as the names.
    used = 2 * len(json.dumps(columns)) + 200
    for row in rows:
        cells = [cell(value) for value in row]
        used += len(json.dumps(cells)) + 2
        if used > bound:
            return {"columns": columns, "rows": kept, "truncated": True}
        kept.append(cells)
    return {"columns": columns, "rows": kept, "truncated": False}


class Files:
    """The files beside the program that are tables: those whose name the program has in it."""

    def __init__(self, program: str, script: str) -> None:
        self._folder = os.path.dirname(program)
        self._script = script.lower()
        self._program = program

    def tables(self, extensions: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
        """(table, path, extension)."""
        taken: dict[str, str] = {}
        for table, path, extension in self._all():
            if extension not in extensions or table.lower() not in self._script:
                continue
            if table.lower() in taken:
                raise SqlError(f"the files {taken[table.lower()]} and {path} would both be the table {table}")
            taken[table.lower()] = path
            yield table, path, extension

    def databases(self, header: bytes, offset: int = 0) -> Iterator[tuple[str, str]]:
        """(name, path) of the databases of an engine, told by their first bytes."""
        for name, path, _ in self._all():
            with open(path, "rb") as file:
                if file.read(offset + len(header))[offset:] == header:
                    yield name, path

    def _all(self) -> Iterator[tuple[str, str, str]]:
        for folder, folders, names in os.walk(self._folder):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if path == self._program or os.path.islink(path):
                    continue
                stem, extension = os.path.splitext(os.path.relpath(path, self._folder))
                table = re.sub(r"\W+", "_", stem)
                yield (f"_{table}" if table[:1].isdigit() else table), path, extension.lower()


def decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace")


class SQLite:
    """The standard library's."""

    _NAMES: dict[Any, str] = {int: "INTEGER", float: "REAL", str: "TEXT", dict: "BLOB"}  # noqa: RUF012

    def __init__(self, files: Files) -> None:
        self._files = files
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        self._database.text_factory = decoded

    def run(self, script: str, input_data: object, bound: int) -> dict[str, object] | None:
        parameters = parameters_of(input_data)
        result: dict[str, object] | None = None
        try:
            self._load(input_data)
            for statement in self._statements(script):
                cursor = self._database.execute(statement, parameters)
                if cursor.description is not None:
                    columns = [column[0] for column in cursor.description]
                    result = self._typed(rows_within(cursor, columns, bound))
                cursor.close()
        except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeError, csv.Error) as error:
            raise SqlError(str(error)) from error
        finally:
            self._database.close()
        return result

    @staticmethod
    def _statements(script: str) -> Iterator[str]:
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

    def _load(self, input_data: object) -> None:
        for name, path in self._files.databases(SQLITE_HEADER):
            self._database.execute(f"ATTACH {text_literal(path)} AS {quoted(name)}")
        rows = objects(input_data)
        if rows is not None:
            self._fill("input_data", rows)
        for table, path, extension in self._files.tables((".csv", ".tsv", ".json", ".jsonl", ".ndjson")):
            if extension in (".csv", ".tsv"):
                self._fill_from_csv(table, path, "," if extension == ".csv" else "\t")
                continue
            try:
                with open(path, encoding="utf-8-sig") as file:
                    lines = (json.loads(line) for line in file if line.strip())
                    rows = objects(json.load(file) if extension == ".json" else list(lines))
            except ValueError as error:
                raise SqlError(f"{path} cannot be read as JSON: {error}") from error
            if rows is None:
                raise SqlError(f"{path} is no table: an array of objects is needed")
            self._fill(table, rows)

    def _fill(self, table: str, rows: list[dict[str, object]]) -> None:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        if columns:
            self._create(table, columns)
            self._insert(table, len(columns), [[scalar(row.get(name)) for name in columns] for row in rows])

    def _fill_from_csv(self, table: str, path: str, delimiter: str) -> None:
        csv.field_size_limit(sys.maxsize)
        no_columns: list[str] = []
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            columns = next(reader, no_columns)
            rows = [(row + [""] * len(columns))[: len(columns)] for row in reader if row]
        if not columns:
            return
        kinds = [narrowest(row[number] for row in rows) for number in range(len(columns))]
        self._create(table, columns)
        cells = ([read(text) for read, text in zip(kinds, row)] for row in rows)  # noqa: B905 - 3.9 may run this
        self._insert(table, len(columns), cells)

    def _create(self, table: str, columns: list[str]) -> None:
        self._database.execute(f"CREATE TABLE {quoted(table)} ({', '.join(map(quoted, columns))})")

    def _insert(self, table: str, width: int, rows: Iterable[Sequence[object]]) -> None:
        places = ", ".join("?" * width)
        self._database.execute("BEGIN")
        self._database.executemany(f"INSERT INTO {quoted(table)} VALUES ({places})", rows)  # noqa: S608
        self._database.execute("COMMIT")

    def _typed(self, result: dict[str, object]) -> dict[str, object]:
        """SQLite gives a type to each value and not to a column: the one that its values have, or ANY."""
        rows = cast("list[list[object]]", result["rows"])
        types: list[str] = []
        for number, _ in enumerate(cast("list[str]", result["columns"])):
            found = {self._NAMES[type(row[number])] for row in rows if row[number] is not None}
            types.append(found.pop() if len(found) == 1 else "ANY" if found or not rows else "NULL")
        return {"columns": result["columns"], "types": types, **result}


def narrowest(texts: Iterable[str]) -> Callable[[str], object]:
    """Reads a column as what all its texts are: whole numbers, numbers, or text; nothing is nothing."""
    kind: type[int | float | str] = int
    for text in texts:
        if text == "" or kind is str:
            continue
        # Leading zeros and signs are part of a text: a telephone number is none.
        if kind is int and re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text):
            continue
        kind = float if re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", text) else str
    return lambda text: None if text == "" else kind(text)


class DuckDB:
    """The package duckdb, which the action names. It reads the files that were given and nothing else."""

    _READERS = {  # noqa: RUF012
        ".csv": "read_csv",
        ".tsv": "read_csv",
        ".parquet": "read_parquet",
        ".json": "read_json",
        ".jsonl": "read_json",
        ".ndjson": "read_json",
    }

    def __init__(self, files: Files, folder: str, input_path: str) -> None:
        # Here: SQLite programs do without it.
        try:
            duckdb: Any = import_module("duckdb")
        except ImportError as error:
            raise SqlError(f"the package duckdb cannot be loaded: {error}") from error
        self._module = duckdb
        self._files = files
        self._input_path = input_path
        memory = max(16, int(os.environ["MEMORY_MB"]) // 2)
        self._database: Any = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{memory}MB",
                "threads": min(4, os.cpu_count() or 1),
                "temp_directory": "",
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        allowed = f"SET allowed_directories = [{text_literal(folder + '/')}]"
        for setting in (
            allowed,
            f"SET allowed_paths = [{text_literal(input_path)}]",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            self._database.execute(setting)

    def run(self, script: str, input_data: object, bound: int) -> dict[str, object] | None:
        parameters = parameters_of(input_data)
        result: dict[str, object] | None = None
        try:
            self._load(input_data)
            for statement in self._database.extract_statements(script):
                wanted = {name: parameters[name] for name in statement.named_parameters if name in parameters}
                cursor = self._database.execute(statement, wanted)
                result = self._result(cursor, statement.expected_result_type, bound) or result
        except self._module.Error as error:
            raise SqlError(str(error)) from error
        finally:
            self._database.close()
        return result

    def _result(self, cursor: Any, expected: list[Any], bound: int) -> dict[str, object] | None:
        kinds = self._module.ExpectedResultType
        columns = [str(column[0]) for column in cursor.description or ()]
        # How many rows were changed is no result of a program, as it is none over SQLite.
        if kinds.QUERY_RESULT not in expected or (kinds.CHANGED_ROWS in expected and columns == ["Count"]):
            return None
        types = [str(column[1]) for column in cursor.description]
        return {"columns": columns, "types": types, **rows_within(_fetched(cursor), columns, bound)}

    def _load(self, input_data: object) -> None:
        for name, path in self._files.databases(b"DUCK", 8):
            self._database.execute(f"ATTACH {text_literal(path)} AS {quoted(name)}")
        if objects(input_data) is not None:
            self._view("input_data", "read_json", self._input_path)
        for table, path, extension in self._files.tables(tuple(self._READERS)):
            self._view(table, self._READERS[extension], path)

    def _view(self, table: str, reader: str, path: str) -> None:
        statement = f"CREATE VIEW {quoted(table)} AS SELECT * FROM {reader}({text_literal(path)})"  # noqa: S608
        self._database.execute(statement)


def _fetched(cursor: Any) -> Iterator[Iterable[object]]:
    while rows := cursor.fetchmany(ROWS_AT_A_TIME):
        yield from rows


def main() -> int:
    program, input_path = sys.argv[1], os.environ["INPUT_DATA"]
    # Line breaks as they are: one that was made of a carriage return would end a comment that goes on.
    with open(program, encoding="utf-8", newline="") as file:
        script = file.read()
    with open(input_path, encoding="utf-8") as file:
        input_data = json.load(file)
    paths = os.environ.get("PACKAGE_PATHS")
    if paths:
        sys.path.extend(paths.split(":"))
    try:
        files = Files(program, script)
        wanted = os.environ.get("SQL_ENGINE")
        engine = DuckDB(files, os.path.dirname(program), input_path) if wanted == "duckdb" else SQLite(files)
        result = engine.run(script, input_data, int(os.environ["RESULT_BYTES"]))
    except SqlError as error:
        sys.stderr.write(f"SQL error: {error}\n")
        return 1
    if result is not None:
        remaining = json.dumps(result).encode()
        while remaining:
            remaining = remaining[os.write(RESULT_DESCRIPTOR, remaining) :]
    return 0


if __name__ == "__main__":
    sys.exit(main())
