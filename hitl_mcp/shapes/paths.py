"""Paths that mean one place however they are read; every other spelling is refused, never repaired.

What is refused would be read differently by different programs: `..` and `.`, empty parts, backslashes,
escapes and expansions (`%2e`, `~`, `$HOME`, `*`), drive letters and streams, invisible and look-alike
characters, and other Unicode forms of a plain character.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from hitl_contract.display import safe_text

MAX_PATH: Final = 4096
_SPECIAL: Final = frozenset("\\%$`~*?[]{}\"'<>|;&!:#")
# What stands below these is not what its name says: links to everything that the process can reach.
_UNSAFE_ROOTS: Final = frozenset({"proc", "dev", "sys"})


def plain_parts(path: str) -> tuple[str, ...] | None:
    """The parts of a plain path, a leading "" for an absolute one; None when it is not plain."""
    if not path or len(path) > MAX_PATH or not _is_plain_text(path) or _SPECIAL & set(path):
        return None
    parts = tuple(path.split("/"))
    named = parts[1:] if parts[0] == "" else parts
    if not named or any(not _is_plain_part(part) for part in named):
        return None
    if parts[0] == "" and named[0].casefold() in _UNSAFE_ROOTS:
        return None
    return parts


def is_within(path: str, directory: str) -> bool:
    """Whether `path` names something in `directory` or below it, never the directory itself."""
    inner, outer = plain_parts(path), plain_parts(directory)
    if inner is None or outer is None:
        return False
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _is_plain_text(text: str) -> bool:
    return safe_text(text) == text and unicodedata.is_normalized("NFKC", text)


def _is_plain_part(part: str) -> bool:
    return (
        bool(part) and part not in {".", ".."} and part == part.strip() and part[-1] != "." and part[0] != "-"
    )
