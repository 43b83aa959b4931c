"""Text edits written as a diff that people can read, and read back again exactly.

    @@ the whole file becomes @@        Write: only `+` lines
    @@ replace the one occurrence @@    Edit: `-` lines, then `+` lines
    @@ replace every occurrence @@      Edit with replace_all

Lines end at "\\n" alone. A text whose last line is not ended has the marker that diffs have for it. Two
different edits are never written the same, so an approval of one is none of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

_NOT_ENDED: Final = "\\ No newline at end of file"


class HunkKind(Enum):
    """What a hunk does; the value is its first line."""

    WHOLE = "@@ the whole file becomes @@"
    ONE = "@@ replace the one occurrence @@"
    EVERY = "@@ replace every occurrence @@"


@dataclass(frozen=True, slots=True)
class Hunk:
    """`old` is replaced by `new`; for WHOLE there is no `old`."""

    kind: HunkKind
    old: str
    new: str


def write_hunks(hunks: Sequence[Hunk]) -> str:
    """The diff of these edits, in their order."""
    lines: list[str] = []
    for hunk in hunks:
        lines.append(hunk.kind.value)
        lines += _prefixed("-", hunk.old)
        lines += _prefixed("+", hunk.new)
    return "\n".join(lines)


def read_hunks(diff: str) -> tuple[Hunk, ...]:
    """The edits of a diff.

    Raises:
        ValueError: it is not in the form that `write_hunks` gives.
    """
    hunks: list[Hunk] = []
    lines = diff.removesuffix("\n").split("\n")
    position = 0
    while position < len(lines):
        kind = HunkKind(lines[position])
        old, position = _read(lines, position + 1, "-")
        new, position = _read(lines, position, "+")
        if kind is HunkKind.WHOLE and old:
            raise ValueError("a whole file replaces no lines")
        hunks.append(Hunk(kind, old, new))
    return tuple(hunks)


def _prefixed(prefix: str, text: str) -> list[str]:
    if not text:
        return []
    ended = text.endswith("\n")
    lines = [prefix + line for line in text.removesuffix("\n").split("\n")]
    return lines if ended else [*lines, _NOT_ENDED]


def _read(lines: Sequence[str], position: int, prefix: str) -> tuple[str, int]:
    taken: list[str] = []
    while position < len(lines) and lines[position].startswith(prefix):
        taken.append(lines[position].removeprefix(prefix))
        position += 1
    text = "\n".join(taken)
    if taken and position < len(lines) and lines[position] == _NOT_ENDED:
        return text, position + 1
    return (text + "\n" if taken else ""), position
