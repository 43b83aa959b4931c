"""What becomes of the last value of a Node.js program, be it a script or a module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.languages.outside import run_outside

HELPER = {"helper.mjs": b"export const three = 3; export default 'd';", "data.json": b'{"a": 1}'}


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("import { three } from './helper.mjs';\nconst v = await Promise.resolve(three);\nv + 1", 4),
        ("import d, * as all from './helper.mjs';\n[d, all.three, input_data.x]; // done", ["d", 3, 7]),
        ("const { three } = await import('./helper.mjs');\n({ three })", {"three": 3}),
        ("await 1;\nfoo\n(2)\nfunction foo(x) { return x * 2 }", None),
        ("function foo(x) { return x * 2 }\nawait 1\nfoo\n(2)", 4),
        ("import fs from 'node:fs';\nfs.readFileSync('helper.mjs', 'utf8').length", 43),
        ("import { three } from './helper.mjs';\nthree;\nexport default 'mine'", "mine"),
        ("import './helper.mjs';\nPromise.resolve('later')", "later"),
        ("import './helper.mjs';\nimport.meta.url.split('/').at(-1) + import.meta.filename.length % 1", "x"),
        ("import './helper.mjs';\nlet x = 1", None),
        ("import './helper.mjs';\n'a; // b'", "a; // b"),
        ("import './helper.mjs';\n`two\n${1 + 1} lines`", "two\n2 lines"),
        (
            "import { createRequire } from 'node:module';\ncreateRequire(import.meta.url)('./data.json')",
            {"a": 1},
        ),
        ("new Map([[1, 2]])", {"type": "Map", "repr": "Map(1) { 1 => 2 }"}),
        ("({ big: 2n, none: undefined, nan: NaN, when: new Date(0), list: [new Set([1])] })", ...),
        ("const loop = {}; loop.loop = loop; loop", ...),
        ("(() => 1)", {"type": "Function", "repr": "[Function (anonymous)]"}),
    ],
)
def test_the_last_value_is_the_result_of_scripts_and_modules(tmp_path: Path, code: str, result: Any) -> None:
    ended = run_outside(tmp_path, "nodejs", code, input_data={"x": 7}, files=HELPER)
    assert (ended.exit_code, ended.stderr) == (0, "")
    if result is None:
        assert ended.result_text == ""
    elif result == "x":
        assert ended.result == "program.mjs0"
    elif result is not ...:
        assert ended.result == result
    elif "big" in code:
        assert ended.result == {
            "big": {"type": "bigint", "repr": "2n"},
            "nan": {"type": "number", "repr": "NaN"},
            "when": "1970-01-01T00:00:00.000Z",
            "list": [{"type": "Set", "repr": "Set(1) { 1 }"}],
        }
    else:
        assert (ended.result["type"], "Circular" in ended.result["repr"]) == ("Object", True)
    assert ended.files == {}


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        ("import './helper.mjs';\nlet a = 1;\nnull.x", 1, "program.mjs:3"),
        ("import './missing.mjs';\n1", 1, "missing.mjs"),
        ("import { nothing } from './helper.mjs';\nnothing", 1, "nothing"),
        ("await new Promise(() => {});\n1", 13, "never settled"),
        ("import './helper.mjs';\nprocess.exit(5);\n1", 5, ""),
        ("import './helper.mjs'; const = 1", 1, "SyntaxError"),
    ],
)
def test_a_module_that_fails_says_where_and_has_no_result(
    tmp_path: Path, code: str, exit_code: int, said: str
) -> None:
    ended = run_outside(tmp_path, "nodejs", code, files=HELPER)
    assert (ended.exit_code, ended.result_text) == (exit_code, "")
    assert said in ended.stderr
    assert "Experimental" not in ended.stderr
