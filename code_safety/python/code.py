"""What can be read off a Python program. It informs; the sandbox is what contains."""

from __future__ import annotations

import ast

from code_safety.findings import Rule
from code_safety.inspection import Inspection
from code_safety.plain_text import inspect_plain_text
from code_safety.python.bandit_checks import inspect_with_bandit
from code_safety.python.calls import inspect_call
from code_safety.python.program import Program, TooInvolved, parse_program
from code_safety.python.shapes import (
    inspect_arithmetic,
    inspect_assignment,
    inspect_environment,
    inspect_function,
    inspect_import,
    inspect_loop,
    inspect_reference,
    inspect_spelling,
    inspect_subscript,
    inspect_text,
)


def inspect_python(code: str, inspection: Inspection) -> None:
    """Record a syntax error, or what the program does; `analysis.too_complex` when it has no answer."""
    try:
        program = parse_program(code, inspection)
    except SyntaxError as error:
        # ast counts columns from 1 here, and gives 0 or nothing where it has no place.
        place = inspection.place(error.lineno, error.offset or None)
        inspection.add(Rule.PYTHON_SYNTAX_ERROR, place, detail=_reason(error))
        inspect_plain_text(code, inspection)
        return
    except (RecursionError, MemoryError, TooInvolved):
        inspection.add(Rule.NOT_ANALYSED_TOO_COMPLEX)
        inspect_plain_text(code, inspection)
        return
    except ValueError:
        # A NUL character, or half of a surrogate pair, which no source file can hold.
        inspection.add(Rule.PYTHON_SYNTAX_ERROR, detail="holds a character that source code cannot")
        inspect_plain_text(code, inspection)
        return
    _inspect(program)


def _reason(error: SyntaxError) -> str:
    # CPython's messages may quote an identifier of the program after a colon or in quotes.
    return (error.msg or "").split(":")[0].split("'")[0].split('"')[0].strip()[:80] or "syntax error"


def _inspect(program: Program) -> None:
    ascii_only = all(line.isascii() for line in program.lines)
    parents = _parents(program)
    documentation = {
        id(node.value)
        for node in program.nodes
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    calls: list[ast.Call] = []
    for node in program.nodes:
        match node:
            case ast.Call():
                calls.append(node)
                inspect_call(program, node)
                inspect_reference(program, node, called=False)
                _joined_text(program, node)
            case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()):
                parent = parents.get(id(node))
                inspect_reference(program, node, called=isinstance(parent, ast.Call) and parent.func is node)
                inspect_environment(program, node, parent)
                if not ascii_only:
                    inspect_spelling(program, node)
            case ast.Import() | ast.ImportFrom():
                inspect_import(program, node)
            case ast.Subscript():
                inspect_subscript(program, node)
            case ast.Constant(value=str() | bytes() as value) if id(node) not in documentation:
                inspect_text(program, node, value if isinstance(value, str) else value.decode("latin-1"))
            case ast.BinOp():
                inspect_arithmetic(program, node)
                if not isinstance(parents.get(id(node)), ast.BinOp):
                    _joined_text(program, node)
            case ast.JoinedStr():
                _joined_text(program, node)
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                for target in targets:
                    inspect_assignment(program, target)
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
                inspect_assignment(program, target)
            case ast.While() | ast.For():
                inspect_loop(program, node)
            case ast.FunctionDef():
                inspect_function(program, node)
            case _:
                pass
    inspect_with_bandit(program, calls)


def _joined_text(program: Program, node: ast.expr) -> None:
    text = program.names.folding.text(node)
    if text is not None:
        inspect_text(program, node, text)


def _parents(program: Program) -> dict[int, ast.AST]:
    # Nodes of context and operators are shared between places; nobody asks for their parents.
    return {id(child): node for node in program.nodes for child in ast.iter_child_nodes(node)}
