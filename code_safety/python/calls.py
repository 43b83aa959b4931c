"""Rules about calls: what is called, with which arguments."""

from __future__ import annotations

import ast
from typing import Final

from code_safety.findings import Place, Rule, Severity
from code_safety.paths import is_wide, judge_read, judge_write
from code_safety.python.catalogue import (
    HARMLESS_MODULES,
    HARMLESS_VARIABLES,
    METHODS,
    MODULES,
    NAMED,
    PATH_WRITERS,
    PROCESS_CALLS,
    SENSITIVE_OWNERS,
    SHELL_CALLS,
    TEXT_AS_CODE,
    Entry,
)
from code_safety.python.folding import DECODING_CALLS
from code_safety.python.program import Program
from code_safety.secret_patterns import is_secret_name

_HUGE: Final = 200_000_000
_DELETERS: Final = frozenset(name for name, (rule, _) in NAMED.items() if rule is Rule.PYTHON_DELETES_FILES)
_ACTING: Final = TEXT_AS_CODE | SHELL_CALLS | PROCESS_CALLS | _DELETERS
_MOVERS: Final = frozenset(name for name, (rule, _) in NAMED.items() if rule is Rule.PYTHON_WRITES_FILES)
_EXECUTES_SQL: Final = frozenset(
    {"execute", "executemany", "executescript", "read_sql", "read_sql_query", "sql"}
)
_INPUTS: Final = ("input()", "requests.", "urllib.", "socket.", "sys.stdin", "open()", "httpx.", "os.environ")


def entry_of(name: str) -> Entry | None:
    """What the catalogue says about a dotted name."""
    if (entry := NAMED.get(name)) is not None:
        return entry
    if name in HARMLESS_MODULES or any(name.startswith(f"{harmless}.") for harmless in HARMLESS_MODULES):
        return None
    if name.startswith("os.environ."):
        return NAMED["os.environ"]
    head, _, rest = name.partition(".")
    second = f"{head}.{rest.partition('.')[0]}"
    if (entry := MODULES.get(second) or MODULES.get(head)) is not None:
        return entry
    return METHODS.get(rest) if head == "?" else None


def inspect_call(program: Program, node: ast.Call) -> None:
    """Record what a call does, as far as its callee and arguments tell."""
    place = program.place(node)
    names = program.names.resolve(node.func)
    if any(name in _ACTING for name in names) and not program.names.is_spelled_out(node.func):
        program.inspection.add(Rule.PYTHON_HIDES_NAMES, place)
    for name in names:
        if name in TEXT_AS_CODE:
            _runs_text(program, node, place, name)
        elif name in SHELL_CALLS or name in PROCESS_CALLS:
            _starts_process(program, node, place)
        elif name in _DELETERS:
            _deletes(program, node, place, wide=name.endswith("rmtree"))
        elif name in _MOVERS:
            _moves(program, node, place)
        elif name in {"open", "os.open", "pathlib.Path().open"}:
            _opens(program, node, place, on_path=name.endswith("Path().open"))
        elif name in {"getattr", "object.__getattribute__"}:
            _takes_attribute(program, node, place)
        elif name in {"__import__", "importlib.import_module", "pydoc.locate"}:
            _imports(program, node, place)
        elif name == "setattr":
            _sets_attribute(program, node, place)
        elif name in {"os.getenv", "os.environ.get", "os.environ.pop"}:
            reads_variable(program, node.args[0] if node.args else None, place)
        elif name in {"bytearray", "bytes", "range", "numpy.zeros", "numpy.ones", "numpy.empty"}:
            _allocates(program, node, place, name)
        elif (name.startswith("yaml.") or name == "numpy.load") and _allows_objects(program, node, name):
            program.inspection.add(Rule.PYTHON_UNPICKLES, place, Severity.HIGH, name)
    if isinstance(node.func, ast.Attribute):
        _method(program, node, node.func, names, place)


def _runs_text(program: Program, node: ast.Call, place: Place, name: str) -> None:
    text_node = next(iter(node.args), None) or next((each.value for each in node.keywords), None)
    if text_node is None:
        return
    text = program.names.folding.text(text_node)
    if text is not None and name not in {"runpy.run_path", "runpy.run_module", "breakpoint"}:
        if not isinstance(text_node, ast.Constant) and _decodes(program, text_node):
            program.inspection.add(Rule.PYTHON_RUNS_DECODED_PAYLOAD, place, Severity.HIGH)
        program.inspection.embedded("python", text, place)
        return
    if _decodes(program, text_node):
        program.inspection.add(Rule.PYTHON_RUNS_DECODED_PAYLOAD, place)
    elif any(source.startswith(_INPUTS) for source in _sources(program, text_node)):
        program.inspection.add(Rule.PYTHON_RUNS_TEXT_AS_CODE, place, Severity.CRITICAL, "text from outside")


def _sources(program: Program, node: ast.expr) -> set[str]:
    """The dotted names of all calls within an expression, one binding of names followed."""
    found: set[str] = set()
    waiting, seen = [node], 0
    while waiting and seen < 300:
        current = waiting.pop()
        seen += 1
        for each in ast.walk(current):
            seen += 1
            if seen > 300:
                break
            if isinstance(each, ast.Call):
                found.update(f"{name}()" for name in program.names.resolve(each.func))
            elif isinstance(each, ast.Attribute):
                found.update(program.names.resolve(each))
            elif isinstance(each, ast.Name):
                waiting.extend(program.names.bound(each.id))
    return found


def _decodes(program: Program, node: ast.expr) -> bool:
    sources = _sources(program, node)
    return any(source.removesuffix("()") in DECODING_CALLS or source in _UNPACKING for source in sources)


_UNPACKING: Final = frozenset(
    {"?.decompress()", "?.b64decode()", "?.unhexlify()", "chr()", "?.fromhex()", "?.translate()"}
)


def _starts_process(program: Program, node: ast.Call, place: Place) -> None:
    folding, inspection = program.names.folding, program.inspection
    command = next(iter(node.args), None) or next(
        (k.value for k in node.keywords if k.arg in {"args", "cmd"}), None
    )
    if any(keyword.arg is None for keyword in node.keywords) or isinstance(command, ast.Starred):
        inspection.add(Rule.PYTHON_HIDES_NAMES, place, Severity.HIGH, "arguments are unpacked from elsewhere")
        return
    if isinstance(command, ast.Name) and len(bound := program.names.bound(command.id)) == 1:
        command = bound[0]
    if isinstance(command, ast.List | ast.Tuple):
        argv = [folding.text(element) for element in command.elts]
        if argv and argv[0] is not None:
            quoted = " ".join("'" + (word or "?").replace("'", "'\\''") + "'" for word in argv)
            inspection.embedded("bash", quoted, place)
            unknown = any(word is None for word in argv)
            inspection.add(Rule.PYTHON_STARTS_PROCESSES, place, Severity.HIGH if unknown else Severity.MEDIUM)
            return
    elif (text := folding.text(command)) is not None:
        inspection.embedded("bash", text, place)
        return
    inspection.add(
        Rule.PYTHON_STARTS_PROCESSES, place, Severity.HIGH, "a command that is not known beforehand"
    )


def _deletes(program: Program, node: ast.Call, place: Place, *, wide: bool) -> None:
    arguments = node.args or [keyword.value for keyword in node.keywords]
    for argument in arguments[:1]:
        for piece in program.names.folding.pieces(argument):
            if wide and is_wide(piece):
                program.inspection.add(Rule.PYTHON_DELETES_FILES, place, Severity.CRITICAL, "whole folders")
            elif (verdict := judge_write(piece)) is not None:
                program.inspection.add(Rule.PYTHON_DELETES_FILES, place, Severity.HIGH)
                program.inspection.add(verdict.rule, place, verdict.severity)
        if wide and "os.path.expanduser()" in _sources(program, argument):
            program.inspection.add(Rule.PYTHON_DELETES_FILES, place, Severity.CRITICAL, "whole folders")


def _moves(program: Program, node: ast.Call, place: Place) -> None:
    for argument in node.args[:2]:
        _writes(program, argument, place)


def _writes(program: Program, node: ast.expr, place: Place) -> None:
    for piece in program.names.folding.pieces(node):
        if (verdict := judge_write(piece)) is not None:
            program.inspection.add(Rule.PYTHON_WRITES_FILES, place, Severity.HIGH)
            program.inspection.add(verdict.rule, place, verdict.severity)


def _opens(program: Program, node: ast.Call, place: Place, *, on_path: bool) -> None:
    arguments = list(node.args)
    path = None if on_path else next(iter(arguments), None)
    given = arguments[0] if on_path and arguments else arguments[1] if len(arguments) > 1 else None
    given = next((keyword.value for keyword in node.keywords if keyword.arg == "mode"), given)
    mode = "r" if given is None else program.names.folding.text(given)
    writes = mode is None or any(letter in mode for letter in "wax+")
    if writes:
        program.inspection.add(Rule.PYTHON_WRITES_FILES, place)
    if path is None:
        return
    if writes:
        _writes(program, path, place)
        return
    for piece in program.names.folding.pieces(path):
        if (verdict := judge_read(piece)) is not None:
            program.inspection.add(verdict.rule, place, verdict.severity)


def _takes_attribute(program: Program, node: ast.Call, place: Place) -> None:
    if len(node.args) < 2:
        return
    owners = program.names.resolve(node.args[0])
    attribute = program.names.folding.text(node.args[1])
    built = not isinstance(node.args[1], ast.Constant)
    sensitive = program.names.is_module(node.args[0]) or any(owner in SENSITIVE_OWNERS for owner in owners)
    if (attribute is None and sensitive) or (
        built and attribute is not None and not isinstance(node.args[1], ast.Name) and sensitive
    ):
        program.inspection.add(Rule.PYTHON_HIDES_NAMES, place)


def _imports(program: Program, node: ast.Call, place: Place) -> None:
    module = program.names.folding.text(next(iter(node.args), None))
    if module is None:
        program.inspection.add(Rule.PYTHON_IMPORTS_COMPUTED_MODULE, place)
        return
    if not isinstance(node.args[0], ast.Constant):
        program.inspection.add(Rule.PYTHON_HIDES_NAMES, place)
    program.inspection.add(Rule.PYTHON_IMPORTS_COMPUTED_MODULE, place, Severity.MEDIUM)
    if (entry := entry_of(module)) is not None:
        program.inspection.add(entry[0], place, entry[1])


def _sets_attribute(program: Program, node: ast.Call, place: Place) -> None:
    owners = program.names.resolve(node.args[0]) if node.args else ()
    if any(owner in SENSITIVE_OWNERS for owner in owners) or (
        node.args and program.names.is_module(node.args[0])
    ):
        program.inspection.add(Rule.PYTHON_CHANGES_BUILTINS, place)


def reads_variable(program: Program, name_node: ast.expr | None, place: Place) -> None:
    """Record the reading of one environment variable: by its name, harmless or likely a secret."""
    name = program.names.folding.text(name_node)
    if name is None:
        program.inspection.add(Rule.PYTHON_READS_ENVIRONMENT, place, Severity.MEDIUM)
    elif is_secret_name(name):
        program.inspection.add(Rule.PYTHON_READS_ENVIRONMENT, place, Severity.HIGH, "one named like a secret")
    elif name.upper() not in HARMLESS_VARIABLES:
        program.inspection.add(Rule.PYTHON_READS_ENVIRONMENT, place, Severity.LOW)


def _allocates(program: Program, node: ast.Call, place: Place, name: str) -> None:
    size = program.names.folding.number(next(iter(node.args), None))
    if name != "range" and size is not None and size >= _HUGE:
        program.inspection.add(Rule.PYTHON_HUGE_ALLOCATION, place)


def _allows_objects(program: Program, node: ast.Call, name: str) -> bool:
    if name == "numpy.load":
        return any(
            keyword.arg == "allow_pickle"
            and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
            for keyword in node.keywords
        )
    if name not in {"yaml.load", "yaml.load_all"}:
        return False
    loaders = [*node.args[1:2], *(keyword.value for keyword in node.keywords if keyword.arg == "Loader")]
    resolved = {each.rpartition(".")[2] for loader in loaders for each in program.names.resolve(loader)}
    return not resolved or not resolved <= {"SafeLoader", "CSafeLoader", "BaseLoader", "CBaseLoader"}


def _method(
    program: Program, node: ast.Call, func: ast.Attribute, names: tuple[str, ...], place: Place
) -> None:
    if func.attr in PATH_WRITERS and not (
        names and all(name.startswith(("os.", "shutil.")) for name in names)
    ):
        written = next(iter(node.args), None) if func.attr.startswith(("to_", "save")) else func.value
        known = written is not None and (
            program.names.folding.text(written) is not None or _is_path(program, written)
        )
        if known and written is not None:
            if func.attr not in {"rename", "replace", "touch", "mkdir"}:
                program.inspection.add(Rule.PYTHON_WRITES_FILES, place)
            if _is_path(program, written) or func.attr.startswith(("to_", "save")):
                _writes(program, written, place)
                for argument in node.args[:1] if func.attr in {"rename", "replace"} else []:
                    _writes(program, argument, place)
    if func.attr in _EXECUTES_SQL and node.args:
        statement = program.names.folding.text(node.args[0])
        if statement is not None and " " in statement.strip():
            program.inspection.embedded("sql", statement, place)
        elif statement is None and isinstance(node.args[0], ast.JoinedStr | ast.BinOp):
            program.inspection.add(Rule.PYTHON_WEAK_PRACTICE, place, detail="SQL is put together from parts")
            begun = "".join(program.names.folding.pieces(node.args[0])).lower()
            if any(word in begun for word in ("delete ", "update ", "drop ", "alter ", "truncate ")):
                program.inspection.add(Rule.SQL_CHANGES_ROWS, place, Severity.HIGH, "built while running")


def _is_path(program: Program, node: ast.expr) -> bool:
    sources = _sources(program, node)
    return any(source.startswith("pathlib.") for source in sources)
