"""Runs a Python program as `__main__` and reports the JSON value of its last expression.

The argument is the program's path. The program finds its input as `input_data`. Its result leaves by
descriptor 3, which its children do not inherit. A value that is no JSON is reported by its `repr`; `None`
is no result.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import traceback
import types

RESULT_DESCRIPTOR = 3


def report(value: object) -> None:
    if value is None:
        return
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps(repr(value))
    remaining = text.encode()
    try:
        while remaining:
            remaining = remaining[os.write(RESULT_DESCRIPTOR, remaining) :]
    except OSError:
        # The program closed the descriptor: it wants no result.
        return


def run(path: str, namespace: dict[str, object]) -> None:
    # As text: from bytes Python would follow a declared encoding, and run what nobody has seen.
    with open(path, encoding="utf-8", newline="") as file:
        source = file.read()
    tree = compile(source, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    if not isinstance(tree, ast.Module):
        raise TypeError("a program is a module")
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, path, "exec", dont_inherit=True), namespace)  # noqa: S102 - its purpose
        return
    tree.body.pop()
    exec(compile(tree, path, "exec", dont_inherit=True), namespace)  # noqa: S102
    report(eval(compile(ast.Expression(last.value), path, "eval", dont_inherit=True), namespace))  # noqa: S307


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
    traceback.print_exception(type(error), error, frames)


def main() -> int:
    path = sys.argv[1]
    os.set_inheritable(RESULT_DESCRIPTOR, False)
    sys.stdout = open(1, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    with open(os.environ["INPUT_DATA"], encoding="utf-8") as file:
        input_data = json.load(file)
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
