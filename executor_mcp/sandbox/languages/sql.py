"""SQL over SQLite, or DuckDB where the action names that package; see `drivers/sql_driver.py`."""

from __future__ import annotations

import re
from typing import Final

from executor_mcp.sandbox.base import SandboxJob
from executor_mcp.sandbox.languages.language import Driver, SandboxLanguage
from executor_mcp.sandbox.languages.python import PYTHON_OPTIONS
from hitl_contract.action_code import Language

_PROBE: Final = """
import json, sqlite3
print(json.dumps({"version": "SQLite " + sqlite3.sqlite_version, "packages": []}))
"""
_DUCKDB: Final = re.compile(r"duckdb(?![A-Za-z0-9._-])", re.IGNORECASE)


def chosen_engine(job: SandboxJob) -> dict[str, str]:
    """What is named among the packages is what the approver saw, and what the gate found a layer for."""
    duckdb = any(_DUCKDB.match(requirement) for requirement in job.packages)
    return {"SQL_ENGINE": "duckdb"} if duckdb else {}


SQL: Final = SandboxLanguage(
    name=Language.SQL,
    interpreter="python3",
    program_name="program.sql",
    probe=("-I", "-c", _PROBE),
    options=PYTHON_OPTIONS,
    driver=Driver("sql_driver.py", preflight="SELECT 1 AS value"),
    environment=chosen_engine,
    input=(
        "the parameter :input_data (JSON), members of an object as :name, an array of objects as the table "
        "input_data, files (CSV, TSV, JSON, SQLite) as tables called like them; with the package duckdb "
        "$input_data, $name, and Parquet besides"
    ),
    result="columns, types and rows of the last statement that has any",
    debian_packages=("python3",),
)
