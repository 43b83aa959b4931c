"""A parsed program: its nodes in the order of the text, its names, and places in it."""

from __future__ import annotations

import ast
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from code_safety.findings import Place
from code_safety.inspection import Inspection
from code_safety.python.names import Names

MAX_NODES: Final = 150_000

# Changing the filters of `warnings` is process-wide, and analysis may run in several threads.
_silencing = threading.Lock()


@contextmanager
def without_warnings() -> Generator[None]:
    """Silence Python's warnings, in one thread at a time."""
    with _silencing, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class TooInvolved(Exception):
    """A program has more nodes than are looked at."""


@dataclass(frozen=True, slots=True)
class Program:
    """What the rules look at."""

    nodes: tuple[ast.AST, ...]
    names: Names
    lines: tuple[str, ...]
    inspection: Inspection

    def place(self, node: ast.AST) -> Place:
        """Where a node stands. The syntax tree counts bytes; a place counts characters."""
        line: int | None = getattr(node, "lineno", None)
        if line is None:
            return self.inspection.place()
        end = getattr(node, "end_lineno", None) or line
        column = self._column(line, getattr(node, "col_offset", 0))
        return self.inspection.place(line, column, end, self._column(end, getattr(node, "end_col_offset", 0)))

    def _column(self, line: int, offset: int) -> int:
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        if text.isascii():
            return offset + 1
        return len(text.encode("utf-8", "replace")[:offset].decode("utf-8", "ignore")) + 1


def parse_program(code: str, inspection: Inspection) -> Program:
    """Parse a program.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as ``ast.parse`` does.
        TooInvolved: it has more than MAX_NODES nodes.
    """
    with without_warnings():
        # A SyntaxWarning would print a line of the program on the server's stderr.
        tree = ast.parse(code)
    nodes = _in_order(tree)
    return Program(nodes, Names(nodes), tuple(_lines(code)), inspection)


def _in_order(tree: ast.AST) -> tuple[ast.AST, ...]:
    found: list[ast.AST] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        found.append(node)
        if len(found) > MAX_NODES:
            raise TooInvolved
        waiting.extend(reversed(list(ast.iter_child_nodes(node))))
    return tuple(found)


def _lines(code: str) -> list[str]:
    # Python ends lines at these alone, other than str.splitlines.
    return code.replace("\r\n", "\n").replace("\r", "\n").split("\n")
