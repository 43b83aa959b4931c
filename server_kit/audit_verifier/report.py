"""What a verification finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

MAX_PROBLEMS: Final = 100


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, at the sequence number where it shows."""

    kind: str
    sequence: int
    message: str


@dataclass
class Report:
    """What was found in one log. `unsigned_tail` counts the entries behind the last checkpoint."""

    chain: str
    entries: int = 0
    segments: int = 0
    checkpoints: int = 0
    head_sequence: int = 0
    head_hash: str = ""
    unsigned_tail: int = 0
    problems: list[Problem] = field(default_factory=list[Problem])

    @property
    def intact(self) -> bool:
        return not self.problems

    def add(self, kind: str, sequence: int, message: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(kind, sequence, f"entry {sequence}: {message}"))


@dataclass
class Tokens:
    """Which requests were approved, which tokens minted and which used; for steps 4 and 5."""

    approved: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    minted: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict[bytes, tuple[bytes, bytes]])
    started: list[tuple[int, bytes, bytes, bytes]] = field(
        default_factory=list[tuple[int, bytes, bytes, bytes]]
    )
