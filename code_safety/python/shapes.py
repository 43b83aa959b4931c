"""Rules about everything but calls: imports, references, internals, loops, strings, disguised names."""

from __future__ import annotations

import ast
import re
import unicodedata
from typing import Final

from code_safety.findings import Rule, Severity
from code_safety.paths import judge_text
from code_safety.python.calls import entry_of, reads_variable
from code_safety.python.catalogue import HARMLESS_MODULES, INTERNALS, MODULES, SENSITIVE_OWNERS
from code_safety.python.program import Program
from code_safety.secret_patterns import find_secret

_HUGE: Final = 200_000_000
_MINING: Final = re.compile(
    r"stratum\+|xmrig|minerd|cryptonight|randomx|nicehash|pool\.\w+\.\w+:\d{4}", re.IGNORECASE
)
_FORKS: Final = frozenset(
    {"os.fork", "os.forkpty", "multiprocessing.Process", "subprocess.Popen", "os.system", "threading.Thread"}
)
_HASHES: Final = ("hashlib.", "?.hexdigest", "?.digest")
_WORD: Final = re.compile(r"\w+")


def inspect_import(program: Program, node: ast.Import | ast.ImportFrom) -> None:
    """Record the import of a module that matters."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        names = [f"{node.module or ''}.{alias.name}" for alias in node.names if not node.level]
    for name in names:
        head = name.partition(".")[0]
        if head == "os" and not isinstance(node, ast.Import):
            _refer(program, node, name)
            if name == "os.*":
                program.inspection.add(Rule.PYTHON_HIDES_NAMES, program.place(node), Severity.MEDIUM)
            continue
        if name in HARMLESS_MODULES or any(name.startswith(f"{each}.") for each in HARMLESS_MODULES):
            continue
        entry = MODULES.get(".".join(name.split(".")[:2])) or MODULES.get(head)
        if entry is not None:
            program.inspection.add(entry[0], program.place(node), entry[1], f"imports {head}")
        elif isinstance(node, ast.ImportFrom):
            _refer(program, node, name)


def inspect_reference(program: Program, node: ast.expr, *, called: bool) -> None:
    """Record that a dangerous function is named, called or not: who names it can pass it on."""
    for name in program.names.resolve(node):
        bare_module = isinstance(node, ast.Name) and name.partition(".")[0] in MODULES and name in MODULES
        if bare_module or name in {"os.environ", "os.environb"}:
            continue  # The import said so; what is read of the environment is looked at where it is read.
        if called or not isinstance(node, ast.Name) or "." not in name or program.names.bound(node.id):
            _refer(program, node, name)
        else:
            _refer(program, node, name)
    if isinstance(node, ast.Attribute) and node.attr in INTERNALS:
        program.inspection.add(Rule.PYTHON_WALKS_INTERNALS, program.place(node))


def inspect_subscript(program: Program, node: ast.Subscript) -> None:
    """Record what is taken out of a namespace by its name."""
    owners = program.names.resolve(node.value)
    if any(owner in {"os.environ", "os.environb"} for owner in owners):
        if isinstance(node.ctx, ast.Load):
            reads_variable(program, node.slice, program.place(node))
        else:
            name = program.names.folding.text(node.slice) or ""
            if name.startswith(("LD_", "DYLD_", "PYTHON", "BASH_ENV", "PATH")) and name != "PYTHONHASHSEED":
                program.inspection.add(Rule.COMMAND_CHANGES_LOADER, program.place(node))
        return
    namespaces = {"globals()", "locals()", "vars()", "builtins", "sys.modules"}
    spaces = [owner for owner in owners if owner in namespaces or owner.endswith(".__dict__")]
    if spaces and isinstance(node.ctx, ast.Load):
        if program.names.folding.text(node.slice) is None:
            program.inspection.add(Rule.PYTHON_HIDES_NAMES, program.place(node))
        for name in program.names.resolve(node):
            _refer(program, node, name)
    elif any(owner in {"builtins", "sys.modules"} for owner in spaces):
        program.inspection.add(Rule.PYTHON_CHANGES_BUILTINS, program.place(node))


def inspect_environment(program: Program, node: ast.Attribute | ast.Name, parent: ast.AST | None) -> None:
    """Record that the environment is taken as a whole, not one variable of it."""
    if not any(name in {"os.environ", "os.environb"} for name in program.names.resolve(node)):
        return
    if isinstance(parent, ast.Subscript) and parent.value is node:
        return
    if isinstance(parent, ast.Attribute) and parent.attr in {"get", "pop", "setdefault", "update"}:
        return
    if isinstance(parent, ast.Compare) or (isinstance(parent, ast.Assign) and isinstance(node.ctx, ast.Load)):
        return
    program.inspection.add(Rule.PYTHON_READS_ENVIRONMENT, program.place(node), Severity.HIGH, "all of them")


def inspect_assignment(program: Program, target: ast.expr) -> None:
    """Record that something which other code relies on is replaced."""
    if not isinstance(target, ast.Attribute):
        return
    owners = program.names.resolve(target.value)
    streams = target.attr in {"stdout", "stderr", "stdin", "argv"}
    if any(owner in SENSITIVE_OWNERS for owner in owners) and not streams:
        program.inspection.add(Rule.PYTHON_CHANGES_BUILTINS, program.place(target))
    elif program.names.is_module(target.value) and not streams:
        program.inspection.add(Rule.PYTHON_CHANGES_BUILTINS, program.place(target), Severity.MEDIUM)


def inspect_loop(program: Program, node: ast.While | ast.For) -> None:
    """Record loops without an end, and loops that start processes or only hash."""
    endless = isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)
    iterates = (
        node.iter.func.id
        if isinstance(node, ast.For)
        and isinstance(node.iter, ast.Call)
        and isinstance(node.iter.func, ast.Name)
        else ""
    )
    size = 0
    if (
        iterates == "range"
        and isinstance(node, ast.For)
        and isinstance(node.iter, ast.Call)
        and node.iter.args
    ):
        size = program.names.folding.number(node.iter.args[min(1, len(node.iter.args) - 1)]) or 0
    if not endless and size < 1_000_000 and not isinstance(node, ast.While):
        _forks(program, node, certain=False)
        return
    inner = _bounded_walk(node)
    leaves = any(
        isinstance(each, ast.Break | ast.Return | ast.Raise | ast.Yield | ast.Await) for each in inner
    )
    called = {
        name for each in inner if isinstance(each, ast.Call) for name in program.names.resolve(each.func)
    }
    leaves = leaves or bool(called & {"sys.exit", "exit", "quit", "os._exit"})
    if endless and not leaves:
        program.inspection.add(Rule.PYTHON_ENDLESS_LOOP, program.place(node))
    if (endless or size >= 10_000_000) and any(name.startswith(_HASHES) for name in called):
        program.inspection.add(Rule.MINES_COINS, program.place(node))
    _forks(program, node, certain=endless)


def _forks(program: Program, node: ast.AST, *, certain: bool) -> None:
    called = {
        name
        for each in _bounded_walk(node)
        if isinstance(each, ast.Call)
        for name in program.names.resolve(each.func)
    }
    if called & {"os.fork", "os.forkpty"} or (certain and called & _FORKS):
        program.inspection.add(Rule.PYTHON_FORK_BOMB, program.place(node))


def inspect_function(program: Program, node: ast.FunctionDef) -> None:
    """Record functions that start themselves again and again, and hooks of deserialisation."""
    if node.name in {"__reduce__", "__reduce_ex__", "__setstate__"}:
        program.inspection.add(
            Rule.PYTHON_UNPICKLES, program.place(node), Severity.MEDIUM, f"defines {node.name}"
        )
    inner = _bounded_walk(node)
    calls = [each for each in inner if isinstance(each, ast.Call)]
    itself = sum(isinstance(each.func, ast.Name) and each.func.id == node.name for each in calls)
    passed = any(
        isinstance(each, ast.keyword) and isinstance(each.value, ast.Name) and each.value.id == node.name
        for each in inner
    )
    starts = any(name in _FORKS for each in calls for name in program.names.resolve(each.func))
    if starts and (itself or passed):
        program.inspection.add(Rule.PYTHON_FORK_BOMB, program.place(node))


def inspect_arithmetic(program: Program, node: ast.BinOp) -> None:
    """Record sequences and numbers of absurd size."""
    if isinstance(node.op, ast.Mult):
        count = program.names.folding.number(node.right) or program.names.folding.number(node.left) or 0
        sequences = ast.List | ast.Tuple | ast.JoinedStr
        repeated = any(
            isinstance(side, sequences) or isinstance(getattr(side, "value", None), str | bytes)
            for side in (node.left, node.right)
        )
        if repeated and count >= _HUGE:
            program.inspection.add(Rule.PYTHON_HUGE_ALLOCATION, program.place(node))
    elif isinstance(node.op, ast.Pow | ast.LShift):
        exponent = program.names.folding.number(node.right)
        towers = isinstance(node.right, ast.BinOp) and isinstance(node.right.op, ast.Pow | ast.LShift)
        if (exponent is not None and exponent >= 10_000_000) or (towers and exponent is None):
            program.inspection.add(Rule.PYTHON_HUGE_ALLOCATION, program.place(node))


def inspect_text(program: Program, node: ast.expr, text: str) -> None:
    """Record texts that name places of credentials, or are secrets themselves."""
    if len(text) < 4:
        return
    if (verdict := judge_text(text)) is not None:
        program.inspection.add(verdict.rule, program.place(node), verdict.severity)
    if find_secret(text) is not None:
        program.inspection.add(Rule.SECRET_IN_TEXT, program.place(node))
    if _MINING.search(text):
        program.inspection.add(Rule.MINES_COINS, program.place(node))
    if "__" in text and any(word in INTERNALS for word in _WORD.findall(text[:10_000])):
        program.inspection.add(Rule.PYTHON_WALKS_INTERNALS, program.place(node))


def inspect_spelling(program: Program, node: ast.Name | ast.Attribute) -> None:
    """Record a name that the text spells otherwise than Python reads it (NFKC, PEP 3131)."""
    line = program.lines[node.lineno - 1] if node.lineno <= len(program.lines) else ""
    if line.isascii():
        return
    place = program.place(node)
    if isinstance(node, ast.Name):
        spelled = (
            line[(place.column or 1) - 1 : (place.end_column or 1) - 1]
            if place.line == node.lineno
            else node.id
        )
        if program.inspection.nested:
            return
        if spelled != node.id and unicodedata.normalize("NFKC", spelled) == node.id:
            program.inspection.add(Rule.PYTHON_DISGUISED_NAME, place)
    elif not line[: (place.end_column or 1) - 1].endswith(node.attr) and node.end_lineno == node.lineno:
        program.inspection.add(Rule.PYTHON_DISGUISED_NAME, place)


def _refer(program: Program, node: ast.AST, name: str) -> None:
    if name.rpartition(".")[2] in INTERNALS and "." in name:
        program.inspection.add(Rule.PYTHON_WALKS_INTERNALS, program.place(node))
    if (entry := entry_of(name)) is not None:
        program.inspection.add(entry[0], program.place(node), entry[1])


def _bounded_walk(node: ast.AST) -> list[ast.AST]:
    found: list[ast.AST] = []
    waiting: list[ast.AST] = [node]
    while waiting and len(found) < 2_000:
        current = waiting.pop()
        found.append(current)
        waiting.extend(ast.iter_child_nodes(current))
    return found
