"""Runs a Python program as `__main__` and reports the value of its last expression as JSON.

The argument is the program's path. The program finds its input as `input_data`. Its result leaves by
descriptor 3, which its children do not inherit. `None` is no result. Within a value, at any depth:

- what JSON has is itself, dates and times are ISO 8601, values and small arrays of numpy are theirs;
- a data frame (pandas, polars, or what has their methods) is `{"type": "table", "columns", "types", "rows",
  "row_count", "truncated", "file"}`: the rows that fit, all of them in the CSV file;
- a figure (`savefig`) or what draws itself (`_repr_png_` and its kin) is `{"type": "image", "file"}`;
- anything else is `{"type": NAME, "repr": TEXT}`, and so is a whole that JSON cannot say.

Figures of matplotlib that are open at the end are saved too.
"""

from __future__ import annotations

import _ast
import _json
import binascii
import math
import os
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    # All of this is here before the program, and takes as little as it can: more takes longer to load than
    # most programs run.
    from collections.abc import Callable
    from typing import Any, TextIO

# The interpreter's own: it needs no library.
print_traceback = sys.__excepthook__

RESULT_DESCRIPTOR = 3
REPR_CHARACTERS = 20000
TABLE_BYTES = 65536
CELL_CHARACTERS = 2000
MOST_COLUMNS = 500
MOST_ELEMENTS = 50000
DRAWN = (
    ("_repr_png_", "png"),
    ("_repr_jpeg_", "jpg"),
    ("_repr_svg_", "svg"),
    ("_repr_html_", "html"),
)


def report(value: Any, folder: str) -> None:
    figures = open_figures()
    if value is None and figures:
        value = figures[0] if len(figures) == 1 else figures
    saved = Saved(folder)
    if value is not None:
        try:
            text = encoded(value, saved.shown)
        except (TypeError, ValueError, RecursionError):
            text = encoded(represented(value))
        send(text.encode())
    for figure in figures:
        saved.image(figure, "figure")


class Reading:
    """What `_json.make_scanner` asks of a `json.JSONDecoder`."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def decoded(text: str) -> Any:
    scan: Any = _json.make_scanner(Reading)  # pyright: ignore[reportArgumentType]
    return scan(text, 0)[0]


def encoded(value: Any, default: Callable[[Any], Any] = str) -> str:
    encode = _json.make_encoder(
        {}, default, _json.encode_basestring_ascii, None, ": ", ", ", False, False, False
    )
    return "".join(encode(value, 0))


def send(remaining: bytes) -> None:
    try:
        while remaining:
            remaining = remaining[os.write(RESULT_DESCRIPTOR, remaining) :]
    except OSError:
        # The program closed the descriptor: it wants no result.
        return


def has(value: Any, *names: str) -> bool:
    """Asked of the type: an object that answers to every name is none of these."""
    if isinstance(value, (type, types.ModuleType)):
        return False
    kind: Any = value.__class__
    return all(hasattr(kind, name) for name in names)


def represented(value: Any) -> dict[str, Any]:
    try:
        text = repr(value)
    except Exception as error:
        text = f"<no repr: {type(error).__name__}>"
    shown: dict[str, Any] = {"type": type(value).__name__, "repr": text[:REPR_CHARACTERS]}
    return {**shown, "truncated": True} if len(text) > REPR_CHARACTERS else shown


def cell(value: Any) -> Any:
    """A value of a table as JSON has it; what is missing there is null."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value if len(value) <= CELL_CHARACTERS else value[:CELL_CHARACTERS] + "…"
    if isinstance(value, (bytes, bytearray)):
        return {"base64": binascii.b2a_base64(value[:CELL_CHARACTERS], newline=False).decode()}
    if has(value, "isoformat"):
        # Of what is no time at all the libraries say that it is not even itself.
        return value.isoformat() if value == value else None
    if has(value, "item", "dtype"):
        return cell(value.item())
    return cell(str(value))


class Saved:
    """Turns what JSON has no word for into what it has, and into files where that takes one."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._by_identity: dict[int, dict[str, Any]] = {}

    def shown(self, value: Any) -> Any:
        try:
            if has(value, "isoformat"):
                return value.isoformat()
            if has(value, "to_frame") and not has(value, "columns"):
                value = value.to_frame()
            if has(value, "columns", "dtypes") and (has(value, "itertuples") or has(value, "iter_rows")):
                return self._table(value)
            if has(value, "tolist", "dtype") and getattr(value, "size", 1) <= MOST_ELEMENTS:
                return value.tolist()
            return self.image(value, "result") or represented(value)
        except Exception:
            # Whatever the object does when it is asked: the program itself has ended well.
            return represented(value)

    def image(self, value: Any, stem: str) -> dict[str, Any] | None:
        """A picture that the value draws of itself, as a file; the same value is drawn once."""
        if id(value) not in self._by_identity:
            path = self._draw(value, stem)
            if path is None:
                return None
            self._by_identity[id(value)] = {"type": "image", "file": os.path.basename(path)}
        return self._by_identity[id(value)]

    def _draw(self, value: Any, stem: str) -> str | None:
        if has(value, "savefig"):
            path = self._free(stem, "png")
            value.savefig(path, format="png")
            return path
        for method, extension in DRAWN:
            drawn: Any = getattr(value, method)() if has(value, method) else None
            if isinstance(drawn, tuple):
                drawn = first_of(drawn)  # pyright: ignore[reportUnknownArgumentType]
            if isinstance(drawn, (str, bytes)):
                path = self._free(stem, extension)
                with open(path, "wb") as file:
                    file.write(drawn.encode() if isinstance(drawn, str) else drawn)
                return path
        return None

    def _table(self, frame: Any) -> dict[str, Any]:
        # The labels of the rows are a column like any other, unless they only count.
        if has(frame, "reset_index", "itertuples") and type(frame.index).__name__ != "RangeIndex":
            frame = frame.reset_index()
        columns = [str(column)[:200] for column in list(frame.columns)[:MOST_COLUMNS]]
        kinds = [str(kind)[:200] for kind in list(frame.dtypes)[:MOST_COLUMNS]]
        rows: list[list[Any]] = []
        used = len(encoded([columns, kinds]))
        for row in (
            frame.itertuples(index=False, name=None) if has(frame, "itertuples") else frame.iter_rows()
        ):
            cells = [cell(value) for value in row[:MOST_COLUMNS]]
            used += len(encoded(cells)) + 2
            if used > TABLE_BYTES:
                break
            rows.append(cells)
        count = len(frame)
        return {
            "type": "table",
            "columns": columns,
            "types": kinds,
            "rows": rows,
            "row_count": count,
            "truncated": len(rows) < count or len(frame.columns) > MOST_COLUMNS,
            "file": self._csv(frame),
        }

    def _csv(self, frame: Any) -> str | None:
        path = self._free("result", "csv")
        try:
            if has(frame, "to_csv"):
                frame.to_csv(path, index=False)
            else:
                frame.write_csv(path)
        except Exception:
            # No room for it, or nothing that CSV can say: the rows that are shown have to do.
            os.unlink(path)
            return None
        return os.path.basename(path)

    def _free(self, stem: str, extension: str) -> str:
        """An empty file that nothing else is; the program's own stay as they are."""
        number = 1
        while True:
            name = f"{stem}.{extension}" if number == 1 else f"{stem}-{number}.{extension}"
            path = os.path.join(self._folder, name)
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
            except FileExistsError:
                number += 1
            else:
                return path


def first_of(pair: Any) -> Any:
    return pair[0]


def open_figures() -> list[Any]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    try:
        return [] if pyplot is None else [pyplot.figure(number) for number in pyplot.get_fignums()]
    except Exception:
        return []


def content(path: str) -> str:
    with open(path, "rb", buffering=0) as file:
        return file.readall().decode()


def run(path: str, namespace: dict[str, object]) -> None:
    # As text: from bytes Python would follow a declared encoding, and run what nobody has seen.
    source = content(path)
    tree = compile(source, path, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
    if not isinstance(tree, _ast.Module):
        raise TypeError("a program is a module")
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, _ast.Expr):
        exec(compile(tree, path, "exec", dont_inherit=True), namespace)  # noqa: S102 - its purpose
        report(None, os.path.dirname(path))
        return
    tree.body.pop()
    exec(compile(tree, path, "exec", dont_inherit=True), namespace)  # noqa: S102
    value = eval(compile(_ast.Expression(last.value), path, "eval", dont_inherit=True), namespace)  # noqa: S307
    report(value, os.path.dirname(path))


def add_packages() -> None:
    """Locked packages come after the standard library and before what the system has installed."""
    paths = os.environ.get("PACKAGE_PATHS")
    if paths:
        system = [place for place, entry in enumerate(sys.path) if entry.endswith("-packages")]
        place = system[0] if system else len(sys.path)
        sys.path[place:place] = paths.split(":")


def show(error: BaseException) -> None:
    """Prints the traceback without the driver's own frames."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    print_traceback(type(error), error.with_traceback(frames), frames)


def open_output() -> tuple[TextIO, TextIO]:
    """Standard output and error, as programs have them."""
    return (
        open(1, "w", encoding="utf-8", buffering=1, closefd=False),
        open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False),
    )


def main(output: tuple[TextIO, TextIO] | None = None) -> int:
    """`output` where that was opened beforehand."""
    path = sys.argv[1]
    os.set_inheritable(RESULT_DESCRIPTOR, False)
    sys.stdout, sys.stderr = output or open_output()
    input_data = decoded(content(os.environ["INPUT_DATA"]))
    sys.argv = [path]
    add_packages()
    sys.path.insert(0, os.path.dirname(path))
    # The program is the main module, as multiprocessing, pickle and `if __name__ == "__main__"` expect.
    module = types.ModuleType("__main__")
    module.__file__ = path
    module.__dict__["input_data"] = input_data
    sys.modules["__main__"] = module
    try:
        run(path, module.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        show(error)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
