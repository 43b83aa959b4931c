"""Parsing with tree-sitter, and the nodes that a query picks out of a tree."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from code_safety.findings import Place
from code_safety.inspection import Inspection

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Query

Grammar = Literal["bash", "javascript"]

MAX_NODES: Final = 40_000
"""Most nodes of interest in one program."""


class TooInvolved(Exception):
    """A program has more nodes of interest than are looked at."""


@lru_cache(maxsize=8)
def _compiled(grammar: Grammar, query: str) -> tuple[Parser, Query]:
    # tree_sitter and its grammars are compiled libraries of megabytes: loaded at first use.
    import tree_sitter

    if grammar == "bash":
        import tree_sitter_bash as source
    else:
        import tree_sitter_javascript as source

    language = tree_sitter.Language(source.language())
    return tree_sitter.Parser(language), tree_sitter.Query(language, query)


def captures(grammar: Grammar, query: str, code: str) -> tuple[Node, dict[str, list[Node]]]:
    """Parse a program; return its root and the nodes under the names that the query gives them, in order.

    Raises:
        TooInvolved: more than MAX_NODES nodes were picked.
    """
    import tree_sitter

    parser, compiled = _compiled(grammar, query)
    # A parser keeps state while it works, and analysis may run in several threads: one parser for each call.
    root = tree_sitter.Parser(parser.language).parse(code.encode("utf-8", "replace")).root_node
    found = tree_sitter.QueryCursor(compiled).captures(root)
    if sum(len(nodes) for nodes in found.values()) > MAX_NODES:
        raise TooInvolved
    for nodes in found.values():
        nodes.sort(key=lambda node: node.start_byte)
    return root, found


def source_of(node: Node | None) -> str:
    """The text of a node."""
    return (node.text or b"").decode("utf-8", "replace") if node is not None else ""


def place_of(node: Node, inspection: Inspection, lines: list[bytes]) -> Place:
    """Where a node stands, in characters; tree-sitter counts bytes."""
    start, end = node.start_point, node.end_point
    return inspection.place(
        start.row + 1,
        _column(lines, start.row, start.column),
        end.row + 1,
        _column(lines, end.row, end.column),
    )


def byte_lines(code: str) -> list[bytes]:
    """The lines of a program as tree-sitter counts them."""
    return code.encode("utf-8", "replace").split(b"\n")


def _column(lines: list[bytes], row: int, column: int) -> int:
    line = lines[row] if row < len(lines) else b""
    if len(line) > 20_000:
        return column + 1  # Counting characters again and again in one huge line would take its square.
    return len(line[:column].decode("utf-8", "ignore")) + 1
