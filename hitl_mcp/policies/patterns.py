"""Patterns with wildcards: of names, where `*` is anything, and of paths, where `*` ends at a slash."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_PART: Final = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")


@cache
def name_pattern(pattern: str, *, fold: bool) -> re.Pattern[str]:
    """`*` is any text, also none, and `?` is any one character. `fold` ignores letter case."""
    return _compiled(pattern, {"**/": ".*/", "**": ".*", "*": ".*", "?": "."}, fold=fold)


@cache
def path_pattern(pattern: str, *, fold: bool) -> re.Pattern[str]:
    """`*` is any text without a slash, `**` any text, `**/` any folders, also none.

    A pattern that starts with `**/` matches absolute and relative paths.
    """
    return _compiled(pattern, {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}, fold=fold)


def is_literal(pattern: str) -> bool:
    """Whether it matches nothing but itself."""
    return "*" not in pattern and "?" not in pattern


def _compiled(pattern: str, wildcards: dict[str, str], *, fold: bool) -> re.Pattern[str]:
    parts = (wildcards.get(part) or re.escape(part) for part in _PART.findall(pattern))
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if fold else 0))
