"""The building blocks of a display: labels, gutters, numbered lines, JSON values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from hitl_contract.canonical import canonical_json
from hitl_contract.visible_text import escape_line

GUTTER: Final = "     | "


def counted(number: int, noun: str) -> str:
    """Return ``1 line`` or ``2 lines``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def quoted(text: str) -> str:
    """Return agent-written text in quotes that it cannot close."""
    return escape_line(json.dumps(text, ensure_ascii=False))


def labelled(label: str, value: str) -> str:
    """Return a line with a label in a fixed column."""
    return f"{label:<11}{value}"


def numbered(text: str) -> Iterator[str]:
    """Yield the lines behind their numbers; a tab at a line's start is marked and four columns wide."""
    for number, line in enumerate(text.split("\n"), start=1):
        body = line.lstrip("\t")
        indent = "\u21e5   " * (len(line) - len(body))
        # The mark for a tab is escaped where the text holds it itself, so that it always means a tab.
        visible = escape_line(body).replace("\u21e5", "\\u{21E5}")
        yield f"{number:>4} | {indent}{visible}"


def json_lines(label: str, value: object) -> Iterator[str]:
    """Yield a JSON value, keys in canonical order, behind a gutter."""
    document = json.loads(canonical_json(value))
    drawn = json.dumps(document, indent=2, ensure_ascii=False)
    yield f"--- {label} ---"
    for line in drawn.split("\n"):
        yield GUTTER + escape_line(line)
