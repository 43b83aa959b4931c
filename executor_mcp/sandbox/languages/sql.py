"""SQL over SQLite or DuckDB, in Python's hands; see `drivers/sql_driver.py`."""

from __future__ import annotations

from typing import Final

from executor_mcp.sandbox.languages.language import Driver, SandboxLanguage
from executor_mcp.sandbox.languages.python import PYTHON_OPTIONS
from hitl_contract.action_code import Language

_PROBE: Final = """
import json, sqlite3
from importlib.metadata import PackageNotFoundError, version
try:
    packages = ["duckdb==" + version("duckdb")]
except PackageNotFoundError:
    packages = []
print(json.dumps({"version": "SQLite " + sqlite3.sqlite_version, "packages": packages}))
"""

SQL: Final = SandboxLanguage(
    name=Language.SQL,
    interpreter="python3",
    program_name="program.sql",
    probe=("-I", "-c", _PROBE),
    options=PYTHON_OPTIONS,
    driver=Driver("sql_driver.py", preflight="SELECT 1 AS value"),
    input="the parameter :input_data (JSON), members of an object as :name, an array of objects as a table",
    result="columns, types and rows of the last statement that has any",
    debian_packages=("python3",),
)
