"""Each language runs, reads its input, and reports its result, in every sandbox alike."""

from __future__ import annotations

import json

import pytest

from executor_mcp.sandbox.base import Sandbox
from hitl_contract.action_code import InputFile, Language
from tests.sandbox.support import Recorder, begin, make_job, result_of, run

# They share one sandbox, which belongs to one event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

INPUT = {"name": "Zoë ☃", "rows": [1, 2.5, None, True]}


async def test_python_reads_input_data_and_reports_its_last_expression(sandbox: Sandbox) -> None:
    outcome = await run(sandbox, "python", "print(input_data['name'])\n{'got': input_data}", input_data=INPUT)
    assert (outcome.termination, outcome.exit_code) == ("exited", 0)
    assert outcome.stdout.decode() == "Zoë ☃\n"
    assert result_of(outcome) == {"got": INPUT}


async def test_python_runs_as_main_and_imports_a_file_beside_it(sandbox: Sandbox) -> None:
    code = (
        "import helper, sys\nif __name__ == '__main__':\n    value = helper.double(21)\n"
        "[value, sys.argv, __file__]"
    )
    files = [InputFile(path="helper.py", content="def double(x): return 2 * x")]
    outcome = await run(sandbox, "python", code, files=files)
    path = "/tmp/work/program.py"
    assert result_of(outcome) == [42, [path], path]


async def test_python_multiprocessing_has_its_semaphores(sandbox: Sandbox) -> None:
    code = (
        "import multiprocessing\ndef square(x): return x * x\n"
        "with multiprocessing.Pool(2) as pool:\n    squares = pool.map(square, [1, 2, 3])\nsquares"
    )
    assert result_of(await run(sandbox, "python", code)) == [1, 4, 9]


async def test_a_python_error_shows_the_program_and_not_its_driver(sandbox: Sandbox) -> None:
    outcome = await run(sandbox, "python", "def f():\n    raise ValueError('bad thing')\nf()")
    text = outcome.stderr.decode()
    assert (outcome.termination, outcome.exit_code, outcome.result_json) == ("exited", 1, None)
    assert "program.py" in text
    assert "ValueError: bad thing" in text
    assert "driver" not in text


async def test_exit_codes_and_signals_are_reported_as_they_are(sandbox: Sandbox) -> None:
    exited = await run(sandbox, "python", "import sys\nsys.exit(7)")
    assert (exited.termination, exited.exit_code) == ("exited", 7)
    killed = await run(sandbox, "python", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    assert (killed.termination, killed.exit_code) == ("signalled", 128 + 11)
    syntax = await run(sandbox, "python", "def (:")
    assert (syntax.exit_code, b"SyntaxError" in syntax.stderr) == (1, True)


async def test_a_value_that_is_no_json_is_reported_by_its_repr_and_none_is_none(sandbox: Sandbox) -> None:
    assert result_of(await run(sandbox, "python", "{1}")) == {"type": "set", "repr": "{1}"}
    assert (await run(sandbox, "python", "print(1)")).result_json is None


async def test_python_saves_a_table_and_a_figure_among_the_files_it_leaves(sandbox: Sandbox) -> None:
    code = """
class Frame:
    columns, dtypes = ["a"], ["int64"]
    def __len__(self): return 1
    def iter_rows(self): return iter([(1,)])
    def write_csv(self, path): open(path, "w").write("a\\n1\\n")
class Figure:
    def savefig(self, path, format): open(path, "wb").write(b"\\x89PNG\\r\\n\\x1a\\n")
[Frame(), Figure()]
"""
    outcome = await run(sandbox, "python", code)
    table, image = result_of(outcome)
    assert (table["columns"], table["types"], table["rows"]) == (["a"], ["int64"], [[1]])
    assert image == {"type": "image", "file": "result.png"}
    assert {file.path: file.media_type for file in outcome.files} == {
        "result.csv": "text/csv",
        "result.png": "image/png",
    }


async def test_nodejs_reports_the_last_value_of_a_script(sandbox: Sandbox) -> None:
    files = [InputFile(path="lib/add.js", content="module.exports = (a, b) => a + b")]
    code = "const add = require('./lib/add.js'); console.log(input_data.name); ({ sum: add(2, 3) })"
    outcome = await run(sandbox, "nodejs", code, input_data=INPUT, files=files)
    assert outcome.stdout.decode() == "Zoë ☃\n"
    assert result_of(outcome) == {"sum": 5}
    assert result_of(await run(sandbox, "nodejs", "Promise.resolve([1, input_data])", input_data=2)) == [1, 2]


async def test_nodejs_reports_the_default_export_of_a_module(sandbox: Sandbox) -> None:
    files = [InputFile(path="helper.mjs", content="export const three = 3;")]
    code = (
        "import { three } from './helper.mjs';\nconst v = await Promise.resolve(three);\n"
        "export default { v };"
    )
    assert result_of(await run(sandbox, "nodejs", code, files=files)) == {"v": 3}
    code = (
        "import { three } from './helper.mjs';\nconst v = await Promise.resolve(three);\n"
        "[v, input_data, new Set([1])]; // the last value"
    )
    outcome = await run(sandbox, "nodejs", code, files=files, input_data="in")
    assert result_of(outcome) == [3, "in", {"type": "Set", "repr": "Set(1) { 1 }"}]
    assert (outcome.stderr, outcome.files) == (b"", ())


async def test_a_nodejs_error_ends_with_status_1_and_says_where(sandbox: Sandbox) -> None:
    thrown = await run(sandbox, "nodejs", "function f() { throw new Error('bad thing') }\nf()")
    assert thrown.exit_code == 1
    assert b"bad thing" in thrown.stderr
    assert b"program.mjs:1" in thrown.stderr
    syntax = await run(sandbox, "nodejs", "let = = 2")
    assert (syntax.exit_code, b"SyntaxError" in syntax.stderr) == (1, True)


async def test_bash_reads_its_input_file_and_reports_its_status(sandbox: Sandbox) -> None:
    outcome = await run(sandbox, "bash", 'cat "$INPUT_DATA"; echo problem >&2; exit 3', input_data=INPUT)
    assert (outcome.termination, outcome.exit_code) == ("exited", 3)
    assert json.loads(outcome.stdout) == INPUT
    assert outcome.stderr == b"problem\n"


async def test_sql_returns_the_rows_of_the_last_query_with_column_names(sandbox: Sandbox) -> None:
    code = """
    CREATE TABLE sums (name TEXT, total REAL); -- a comment; with a semicolon
    INSERT INTO sums SELECT name, sum(amount) FROM input_data GROUP BY name;
    SELECT name, total, ';' AS mark, x'00ff' AS bytes FROM sums ORDER BY name
    """
    rows = [{"name": "b", "amount": 1}, {"name": "a", "amount": 2}, {"name": "a", "amount": 0.5}]
    assert result_of(await run(sandbox, "sql", code, input_data=rows)) == {
        "columns": ["name", "total", "mark", "bytes"],
        "types": ["TEXT", "REAL", "TEXT", "BLOB"],
        "rows": [["a", 2.5, ";", {"base64": "AP8="}], ["b", 1.0, ";", {"base64": "AP8="}]],
        "truncated": False,
    }


async def test_sql_binds_the_members_of_an_object_and_the_whole_input(sandbox: Sandbox) -> None:
    code = "SELECT :limit + 1 AS more, value FROM json_each(:input_data, '$.list')"
    outcome = await run(sandbox, "sql", code, input_data={"limit": 41, "list": ["x"]})
    assert result_of(outcome)["rows"] == [[42, "x"]]
    failed = await run(sandbox, "sql", "SELECT * FROM missing")
    assert (failed.exit_code, failed.stderr) == (1, b"SQL error: no such table: missing\n")


async def test_sql_rows_beyond_the_bound_are_cut_and_said_so(sandbox: Sandbox) -> None:
    code = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
    result = result_of(await run(sandbox, "sql", code, output_kb=4, wall_seconds=20))
    assert result["truncated"] is True
    assert 100 < len(result["rows"]) < 1000


async def test_output_of_any_bytes_comes_through_unchanged_and_while_it_is_made(sandbox: Sandbox) -> None:
    every_byte = bytes(range(256)) * 3
    code = (
        "import sys, time\nsys.stdout.buffer.write(bytes(range(256)) * 3)\nsys.stdout.flush()\ntime.sleep(60)"
    )
    sink = Recorder()
    running = await begin(sandbox, make_job("python", code), sink)
    await sink.first.wait()
    await running.cancel()
    outcome = await running.wait()
    assert outcome.stdout == sink.out == every_byte


async def test_output_cannot_pass_for_a_result_or_for_the_supervisors_report(sandbox: Sandbox) -> None:
    forged = b"\x04\x00\x00\x00\x01\x31\x05\x00\x00\x00\x02{}\x08\x00\x00\x00\x02{}"
    code = (
        f"import sys\nsys.stdout.buffer.write({forged!r})\nsys.stderr.buffer.write({forged!r})\nsys.exit(5)"
    )
    outcome = await run(sandbox, "python", code)
    assert (outcome.exit_code, outcome.result_json) == (5, None)
    assert outcome.stdout == outcome.stderr == forged


async def test_every_language_is_described_with_its_version(sandbox: Sandbox) -> None:
    health = await sandbox.check()
    assert health.ready, health
    description = await sandbox.describe()
    assert {language.language for language in description.languages} == set(Language)
    assert all(language.version for language in description.languages)
    assert (description.image_digest is None) == (sandbox.name == "bubblewrap")


async def test_a_declared_encoding_makes_no_other_program_of_python_source(sandbox: Sandbox) -> None:
    code = "# coding: utf-7\n# a comment +AAo-print('hidden')\nprint('shown +AOk-')\n"
    assert (await run(sandbox, "python", code)).stdout == b"shown +AOk-\n"


async def test_a_carriage_return_stays_one_in_sql(sandbox: Sandbox) -> None:
    code = "CREATE TABLE t(x); -- note\rINSERT INTO t VALUES (1);\nSELECT count(*), length('a\r\nb') FROM t;"
    assert result_of(await run(sandbox, "sql", code))["rows"] == [[0, 4]]
