"""What can be read off the syntax tree of a Python program. It informs; the sandbox is what contains."""

from __future__ import annotations

import ast
import threading
import warnings

from code_safety.findings import Finding, Rule, Severity

_PROCESS_MODULES = frozenset({"subprocess", "pty", "multiprocessing"})
_NETWORK_MODULES = frozenset(
    {"socket", "ssl", "urllib", "http", "ftplib", "smtplib", "requests", "httpx", "aiohttp"}
)
_UNPICKLING_MODULES = frozenset({"pickle", "marshal", "shelve", "dill", "cloudpickle"})
_NATIVE_MODULES = frozenset({"ctypes", "cffi", "_ctypes"})
_CODE_FROM_TEXT = frozenset({"eval", "exec", "compile", "__import__"})
_PROCESS_CALLS = frozenset({"system", "popen", "fork", "forkpty", "execv", "execve", "posix_spawn", "spawnv"})
_DELETING_CALLS = frozenset({"rmtree", "unlink", "removedirs"})

# Changing the filters of `warnings` is process-wide, and analysis may run in several threads.
_parsing = threading.Lock()


def analyse_python(code: str) -> tuple[Finding, ...]:
    """A syntax error, or the clearly named patterns found in the tree; `analysis.too_complex` when it has no
    answer.
    """
    try:
        with _parsing, warnings.catch_warnings():
            # A SyntaxWarning would print a line of the program on the server's stderr.
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
        return tuple(_Patterns().collect(tree))
    except SyntaxError as error:
        # ast counts columns from 1 here, and gives 0 or nothing where it has no place.
        message = f"not valid Python: {_reason(error)}"
        return (
            Finding(
                Rule.PYTHON_SYNTAX_ERROR,
                Severity.DANGER,
                message,
                line=error.lineno,
                column=error.offset or None,
            ),
        )
    except (RecursionError, MemoryError):
        return (
            Finding(
                Rule.NOT_ANALYSED_TOO_COMPLEX,
                Severity.UNKNOWN,
                "nested too deeply to be analysed: nothing is known",
            ),
        )
    except ValueError:
        return (
            Finding(Rule.PYTHON_SYNTAX_ERROR, Severity.DANGER, "not valid Python: contains a NUL character"),
        )


def _reason(error: SyntaxError) -> str:
    # CPython's messages may quote an identifier of the program after a colon or in quotes.
    return error.msg.split(":")[0].split("'")[0].strip() or "syntax error"


class _Patterns:
    def __init__(self) -> None:
        self._found: list[Finding] = []

    def collect(self, tree: ast.AST) -> list[Finding]:
        for node in ast.walk(tree):
            self._inspect(node)
        return sorted(self._found, key=lambda finding: (finding.line or 0, finding.column or 0))

    def _inspect(self, node: ast.AST) -> None:
        match node:
            case ast.Import():
                for alias in node.names:
                    self._module(alias.name, node)
            case ast.ImportFrom(module=str() as module):
                self._module(module, node)
            case ast.Call(func=ast.Name(id=name)) if name in _CODE_FROM_TEXT:
                self._add(Rule.PYTHON_RUNS_TEXT_AS_CODE, Severity.WARNING, f"calls {name}()", node)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr=name)) if name in _PROCESS_CALLS:
                self._add(Rule.PYTHON_STARTS_PROCESSES, Severity.WARNING, f"calls os.{name}()", node)
            case ast.Call(func=ast.Attribute(attr=name)) if name in _DELETING_CALLS:
                self._add(Rule.PYTHON_DELETES_FILES, Severity.WARNING, f"calls {name}()", node)
            case _:
                pass

    def _module(self, name: str, node: ast.stmt) -> None:
        root = name.partition(".")[0]
        if root in _PROCESS_MODULES:
            self._add(Rule.PYTHON_STARTS_PROCESSES, Severity.WARNING, f"imports {root}", node)
        elif root in _NETWORK_MODULES:
            self._add(Rule.PYTHON_OPENS_NETWORK, Severity.WARNING, f"imports {root}", node)
        elif root in _UNPICKLING_MODULES:
            self._add(Rule.PYTHON_UNPICKLES, Severity.WARNING, f"imports {root}", node)
        elif root in _NATIVE_MODULES:
            self._add(Rule.PYTHON_CALLS_NATIVE_CODE, Severity.WARNING, f"imports {root}", node)

    def _add(self, rule: Rule, severity: Severity, message: str, node: ast.expr | ast.stmt) -> None:
        self._found.append(Finding(rule, severity, message, line=node.lineno, column=node.col_offset + 1))
