"""Patterns with wildcards: of names, where `*` is anything, and of paths, where `*` ends at a slash.

Agents choose what is matched, on the server's own thread: a regular expression with a `.*` for each wildcard
takes minutes on a text made for it. Between two wildcards the first place that fits is as good as any later
one, so it is taken for good (an atomic group), and matching takes time in proportion to the text.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_FOLDERS: Final = re.compile(r"(\*\*/|\*\*)")
_MIDDLE_OF_A_NAME: Final = re.compile(r"[^/]\*\*/")
_STARS: Final = re.compile(r"\*+")


@cache
def name_pattern(pattern: str, *, fold: bool) -> re.Pattern[str]:
    """`*` is any text, also none, and `?` is any one character. `fold` ignores letter case."""
    return _compiled(_starred(pattern, ".", last=True), fold=fold)


@cache
def path_pattern(pattern: str, *, fold: bool) -> re.Pattern[str]:
    """`*` is any text without a slash, `**` any text, `**/` any folders, also none.

    A pattern that starts with `**/` matches absolute and relative paths.
    """
    first, *rest = _FOLDERS.split(pattern)
    # Where `**/` stands in the middle of a name, a later place may fit better than the first.
    settles = _MIDDLE_OF_A_NAME.search(pattern) is None
    found = _starred(first, "[^/]", last=not (rest and settles))
    for position in range(0, len(rest), 2):
        settled = settles and position + 2 < len(rest)
        anything = "(?:.*?/)??" if rest[position] == "**/" else ".*?"
        text = anything + _starred(rest[position + 1], "[^/]", last=not settled)
        found += f"(?>{text})" if settled else text
    return _compiled(found, fold=fold)


def is_literal(pattern: str) -> bool:
    """Whether it matches nothing but itself."""
    return "*" not in pattern and "?" not in pattern


def _starred(pattern: str, character: str, *, last: bool) -> str:
    """Texts with stars of this `character` between them. `last`: what follows may need a later place."""
    first, *others = (
        "".join(character if each == "?" else re.escape(each) for each in part)
        for part in _STARS.split(pattern)
    )
    if not others:
        return first
    settled = others[:-1] if last else others
    ending = [f"{character}*{others[-1]}"] if last else []
    return "".join([first, *(f"(?>{character}*?{part})" for part in settled), *ending])


def _compiled(expression: str, *, fold: bool) -> re.Pattern[str]:
    return re.compile(expression, re.DOTALL | (re.IGNORECASE if fold else 0))
