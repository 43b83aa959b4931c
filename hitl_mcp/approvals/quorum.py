"""Who counts, and whether they are enough: pure.

Quorum counts people, never channels, spellings or clicks:

1. Two ids that differ only in letter case, Unicode form or outer white space are one person.
2. The requester never counts, under any spelling.
3. Only people named eligible count; the caller says who is, and asks again when a token is minted.
4. One denial by anybody who counts ends it, whatever was approved.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from hitl_mcp.approvals.models import Verdict


def person_key(person: str) -> str:
    """The folded form in which two spellings of one person's id are equal (UAX #15 NFKC, caseless)."""
    folded = person
    # Folding case can undo normalising and the other way round; the second pass reaches the fixed point.
    for _ in range(2):
        folded = unicodedata.normalize("NFKC", folded).casefold()
    return unicodedata.normalize("NFKC", folded).strip()


@dataclass(frozen=True, slots=True)
class Vote:
    person: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Tally:
    """How many distinct people count for and against, of how many that are needed."""

    required: int
    approving: frozenset[str]
    denying: frozenset[str]

    @property
    def reached(self) -> bool:
        return not self.denying and len(self.approving) >= self.required


def tally(
    votes: Iterable[Vote], *, required: int, requester: str, eligible: Collection[str] | None = None
) -> Tally:
    """Count `votes` for a request by `requester`.

    `eligible` holds the ids of those who may decide now, in any spelling; None means that each voter was
    found eligible already. `required` is at least 1, or ValueError: a quorum of nobody is approval by
    silence.
    """
    if required < 1:
        raise ValueError(f"a quorum needs at least one approval, not {required}")
    excluded = person_key(requester)
    allowed = None if eligible is None else {person_key(person) for person in eligible}
    approving: set[str] = set()
    denying: set[str] = set()
    for vote in votes:
        key = person_key(vote.person)
        if not key or key == excluded or (allowed is not None and key not in allowed):
            continue
        (approving if vote.verdict is Verdict.APPROVE else denying).add(key)
    return Tally(required=required, approving=frozenset(approving), denying=frozenset(denying))
