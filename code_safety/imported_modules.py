"""Which modules a program names in its imports. What it imports under a computed name is a finding of the
analysis, and not in here.
"""

from __future__ import annotations

import ast
from typing import Final

from code_safety.inspection import Inspection
from code_safety.javascript.names import Names, arguments_of
from code_safety.languages import MAX_ANALYSED_CHARACTERS
from code_safety.python.program import parse_program
from code_safety.syntax_trees import captures

_PYTHON_IMPORTERS: Final = frozenset(
    {"__import__", "importlib.import_module", "importlib.util.find_spec", "pydoc.locate"}
)
_JAVASCRIPT: Final = """
(variable_declarator) @declarator
(assignment_expression) @assignment
(import_statement source: (_)) @import
(export_statement source: (_)) @import
(call_expression) @call
"""
_JAVASCRIPT_IMPORTERS: Final = frozenset(
    {"require", "import", "module.require", "process.mainModule.require", "require.main.require"}
)


class ImportsUnknown(Exception):
    """The program is too large or not well formed, so that nothing can be said of its imports."""


def imported_modules(language: str, code: str) -> frozenset[str]:
    """The full names (`os.path`, `fs/promises`); empty for a language without modules.

    Raises:
        ImportsUnknown: and then a rule about imports has to take it that anything is imported.
    """
    if language not in {"python", "nodejs"}:
        return frozenset()
    if len(code) > MAX_ANALYSED_CHARACTERS:
        raise ImportsUnknown(f"longer than {MAX_ANALYSED_CHARACTERS:,} characters")
    try:
        return _python(code) if language == "python" else _javascript(code)
    except ImportsUnknown:
        raise
    except Exception as error:
        # Hostile input decides what happens in a parser; without an answer nothing is known.
        raise ImportsUnknown("not well formed") from error


def is_or_is_within(module: str, name: str) -> bool:
    """Whether `module` is the module `name` or one of its parts: `os.path` is within `os`."""
    return module == name or module.startswith((f"{name}.", f"{name}/"))


def _python(code: str) -> frozenset[str]:
    program = parse_program(code, Inspection({}))
    found: set[str] = set(program.names.imported)
    for node in program.nodes:
        match node:
            case ast.Import(names=aliases):
                found.update(alias.name for alias in aliases)
            case ast.ImportFrom(module=str(module), level=0):
                # Also with a star, whose names are not known one by one.
                found.add(module)
            case ast.Call(func=function, args=[first, *_]):
                if _PYTHON_IMPORTERS.intersection(program.names.resolve(function)):
                    name = program.names.folding.text(first)
                    if name is not None:
                        found.add(name)
            case _:
                pass
    return frozenset(found)


def _javascript(code: str) -> frozenset[str]:
    root, picked = captures("javascript", _JAVASCRIPT, code)
    if root.has_error:
        raise ImportsUnknown("not well formed")
    names = Names(picked)
    texts = [names.text(node.child_by_field_name("source")) for node in picked.get("import", [])]
    for call in picked.get("call", []):
        arguments = arguments_of(call)
        function = names.resolve(call.child_by_field_name("function"))
        if arguments and _JAVASCRIPT_IMPORTERS.intersection(function):
            texts.append(names.text(arguments[0]))
    return frozenset(text.removeprefix("node:") for text in texts if text is not None)
