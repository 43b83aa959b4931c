"""SQL over given files: tables, types, and what cannot be read."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.languages.outside import Ended, run_outside

FILES = {
    "data/in.csv": b"\xef\xbb\xbfname,zip,price,when\nZo\xc3\xab,007,1.5,2026-01-02\nb,08,,\n",
    "wide.tsv": b"a\tb\n1\t2\n3\n",
    "rows.json": b'[{"id": 1, "tags": ["x"]}, {"id": 2}]',
    "lines.jsonl": b'{"id": 1}\n\n{"id": 2}\n',
    "2nd list.csv": b"n\n1\n",
    "not.csv": b"",
}


def ended(folder: Path, code: str, **options: Any) -> Ended:
    files = {**FILES, **options.pop("files", {})}
    return run_outside(folder, "sql", code, files=files, **options)


@pytest.mark.parametrize(
    ("code", "types", "rows"),
    [
        (
            "SELECT * FROM data_in ORDER BY name DESC",
            ["TEXT", "TEXT", "REAL", "TEXT"],
            [["b", "08", None, None], ["Zoë", "007", 1.5, "2026-01-02"]],
        ),
        ("SELECT sum(a), sum(b) FROM wide", ["INTEGER", "INTEGER"], [[4, 2]]),
        ("SELECT id, tags FROM rows", ["INTEGER", "TEXT"], [[1, '["x"]'], [2, None]]),
        ("SELECT count(*) AS n FROM lines JOIN rows USING (id)", ["INTEGER"], [[2]]),
        ("SELECT n FROM _2nd_list", ["INTEGER"], [[1]]),
        ("SELECT 1 AS a UNION ALL SELECT 'x'", ["ANY"], [[1], ["x"]]),
        ("SELECT NULL AS a", ["NULL"], [[None]]),
        ("SELECT 1 AS a WHERE 0", ["ANY"], []),
    ],
)
def test_files_are_tables_and_columns_have_types(
    tmp_path: Path, code: str, types: list[str], rows: list[Any]
) -> None:
    found = ended(tmp_path, code).result
    assert (found["types"], found["rows"], found["truncated"]) == (types, rows, False)


def test_a_database_that_is_given_is_attached_and_comes_back_changed(tmp_path: Path) -> None:
    given = tmp_path / "given.db"
    database = sqlite3.connect(given)
    database.execute("CREATE TABLE people (name)")
    database.execute("INSERT INTO people VALUES ('a')")
    database.commit()
    database.close()
    code = "INSERT INTO shop.people VALUES ('b'); SELECT group_concat(name) AS names FROM people"
    done = ended(tmp_path, code, files={"shop.db": given.read_bytes()})
    assert done.result["rows"] == [["a,b"]]
    assert list(done.files) == ["shop.db"]


@pytest.mark.parametrize(
    ("code", "files", "said"),
    [
        ("SELECT * FROM t", {"t.csv": b"a\n1\n", "t.json": b"[{}]"}, "would both be the table t"),
        ("SELECT * FROM t", {"t.json": b"{"}, "cannot be read as JSON"),
        ("SELECT * FROM t", {"t.json": b"[1]"}, "an array of objects is needed"),
        ("SELECT * FROM t", {"t.csv": b"a,a\n1,2\n"}, "duplicate column"),
        ("SELECT * FROM t", {}, "no such table: t"),
        ("ATTACH '/etc/passwd' AS p; SELECT * FROM p.sqlite_master", {}, "not a database"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(
    tmp_path: Path, code: str, files: dict[str, bytes], said: str
) -> None:
    done = ended(tmp_path, code, files=files)
    assert (done.exit_code, done.result_text, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("SQL error: ")
    assert said in done.stderr


def test_a_file_that_the_program_does_not_name_is_not_read(tmp_path: Path) -> None:
    assert ended(tmp_path, "SELECT 1 AS one", files={"broken.json": b"{"}).result["rows"] == [[1]]


def test_the_engine_is_what_the_packages_name(tmp_path: Path) -> None:
    done = ended(tmp_path, "SELECT 1 AS one", packages=("duckdb>=1,<2",))
    # The host's Python has no such package.
    assert (done.exit_code, "the package duckdb cannot be loaded" in done.stderr) == (1, True)
    (tmp_path / "other").mkdir()
    assert ended(tmp_path / "other", "SELECT 1 AS one", packages=("duckdb-extras",)).exit_code == 0
