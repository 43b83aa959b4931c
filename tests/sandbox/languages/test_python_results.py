"""What becomes of the last value of a Python program: JSON, tables, pictures, and what is none of these."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.languages.outside import run_outside

# The methods of pandas, polars and matplotlib that are asked for, over plain lists.
LIBRARIES = '''
import csv, datetime, decimal, math

class Kind:
    def __init__(self, name): self.name = name
    def __str__(self): return self.name

class Scalar:
    dtype = Kind("int64")
    def __init__(self, value): self.value = value
    def item(self): return self.value

class Array:
    dtype, size = Kind("float64"), 2
    def tolist(self): return [1.5, 2]

class Index: pass
class RangeIndex: pass

class Pandas:
    """pandas.DataFrame"""
    columns = dtypes = index = None
    def __init__(self, columns, rows, index=None):
        self.columns, self._rows = columns, rows
        self.dtypes = [Kind("object")] * len(columns)
        self.index = RangeIndex() if index is None else Index()
        self._labels = index
    def __len__(self): return len(self._rows)
    def itertuples(self, index=True, name="Pandas"):
        assert index is False and name is None
        return iter(map(tuple, self._rows))
    def reset_index(self):
        return Pandas(["index", *self.columns], [[a, *b] for a, b in zip(self._labels, self._rows)])
    def to_csv(self, path, index=True):
        assert index is False
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows([self.columns, *self._rows])
    def _repr_html_(self): return "<table>"

class Polars:
    """polars.DataFrame"""
    columns, dtypes = ["n"], [Kind("Int64")]
    def __len__(self): return 2
    def iter_rows(self): return iter([(1,), (None,)])
    def write_csv(self, path): open(path, "w").write("n\\n1\\n\\n")

class Series:
    def to_frame(self): return Pandas(["one"], [[1]])

class Figure:
    def savefig(self, path, format):
        assert format == "png"
        open(path, "wb").write(b"\\x89PNG\\r\\n\\x1a\\n")

class Drawn:
    def __init__(self, what, value):
        setattr(type(self), what, lambda _: value)

class AnswersToAll:
    def __getattr__(self, name): return lambda *_: AnswersToAll()
    def __repr__(self): return "all"
'''


def value(folder: Path, last: str, before: str = "") -> Any:
    return run_outside(folder, "python", f"{LIBRARIES}\n{before}\n{last}").result


@pytest.mark.parametrize(
    ("last", "result"),
    [
        ("{1}", {"type": "set", "repr": "{1}"}),
        ("'{1}'", "{1}"),
        ("math.nan", {"type": "float", "repr": "nan"}),
        ("{'a': [1, {2}]}", {"a": [1, {"type": "set", "repr": "{2}"}]}),
        ("{(1, 2): 3}", {"type": "dict", "repr": "{(1, 2): 3}"}),
        ("[datetime.date(2026, 1, 2), Scalar(7), Array()]", ["2026-01-02", None, [1.5, 2]]),
        ("AnswersToAll()", {"type": "AnswersToAll", "repr": "all"}),
        ("Figure", {"type": "type", "repr": "<class '__main__.Figure'>"}),
        ("Series()", {"type": "table", "columns": ["one"], "rows": [[1]], "row_count": 1}),
    ],
)
def test_a_value_is_json_or_says_what_it_is(tmp_path: Path, last: str, result: Any) -> None:
    found = value(tmp_path, last)
    if isinstance(result, dict) and "columns" in result:
        found = {name: found[name] for name in result}
    if isinstance(found, list):
        found = [None if isinstance(item, dict) and item.get("type") == "Scalar" else item for item in found]
    assert found == result


def test_a_value_that_breaks_when_it_is_asked_breaks_nothing_else(tmp_path: Path) -> None:
    before = (
        "class Bad:\n    def __repr__(self): raise ValueError\n"
        "    def isoformat(self): raise ValueError\nloop = []\nloop.append(loop)\nlong = type('Long', (), "
        "{'__repr__': lambda _: 'x' * 100_000})()"
    )
    ended = run_outside(tmp_path, "python", f"{LIBRARIES}\n{before}\n[Bad(), long]")
    bad, long = ended.result
    assert bad == {"type": "Bad", "repr": "<no repr: ValueError>"}
    assert (len(long["repr"]), long["truncated"]) == (20_000, True)
    assert (ended.exit_code, ended.stderr) == (0, "")


def test_a_data_frame_is_rows_with_types_and_a_whole_csv_file(tmp_path: Path) -> None:
    rows = "[[f'row {n}', n / 2, None] for n in range(5000)]"
    code = (
        f"{LIBRARIES}\nopen('result.csv', 'w').write('mine')\n"
        f"Pandas(['name', 'half', 'none'], {rows}, index=range(5000))"
    )
    ended = run_outside(tmp_path, "python", code)
    table = ended.result
    assert table["columns"] == ["index", "name", "half", "none"]
    assert table["types"] == ["object"] * 4
    assert table["rows"][3] == [3, "row 3", 1.5, None]
    assert (table["row_count"], table["truncated"], table["file"]) == (5000, True, "result-2.csv")
    assert len(ended.result_text) < 70_000
    assert len(list(csv.reader(io.StringIO(ended.files["result-2.csv"].decode())))) == 5001
    assert ended.files["result.csv"] == b"mine"


def test_cells_that_json_has_no_word_for_are_still_cells(tmp_path: Path) -> None:
    cells = (
        "math.inf, b'\\x00\\xff', datetime.datetime(2026, 1, 2), decimal.Decimal('1.50'), Scalar(3), "
        "'x' * 3000, True"
    )
    table = value(tmp_path, f"[Pandas(list('abcdefg'), [[{cells}]]), Polars()]")
    first, second = table
    assert first["rows"] == [
        [None, {"base64": "AP8="}, "2026-01-02T00:00:00", "1.50", 3, "x" * 2000 + "…", True]
    ]
    assert (first["truncated"], second["rows"], second["types"]) == (False, [[1], [None]], ["Int64"])
    assert {first["file"], second["file"]} == {"result.csv", "result-2.csv"}


PYPLOT = """
import sys, types
pyplot = sys.modules['matplotlib.pyplot'] = types.ModuleType('matplotlib.pyplot')
open_ones = {1: Figure(), 2: Figure()}
pyplot.get_fignums, pyplot.figure = lambda: list(open_ones), open_ones.get
"""


def test_a_figure_is_a_file_and_open_figures_are_kept_too(tmp_path: Path) -> None:
    last = "[open_ones[1], Drawn('_repr_svg_', '<svg/>')]"
    ended = run_outside(tmp_path, "python", f"{LIBRARIES}\n{PYPLOT}\n{last}")
    assert ended.result == [{"type": "image", "file": "result.png"}, {"type": "image", "file": "result.svg"}]
    assert set(ended.files) == {"result.png", "result.svg", "figure.png"}
    assert ended.files["figure.png"].startswith(b"\x89PNG")
    assert ended.files["result.svg"] == b"<svg/>"


def test_a_program_without_a_last_value_shows_the_figures_it_left_open(tmp_path: Path) -> None:
    shown = value(tmp_path, "del open_ones[2]", PYPLOT)
    assert shown == {"type": "image", "file": "result.png"}
