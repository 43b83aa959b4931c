"""What decisions say about the attention of whoever made them: pure.

The time to decide runs to the decision from when people were told of the request, or this person first saw
its page where that is known, whichever was later. It is an upper bound of the time spent reading: a coffee is
in it too. So who approves faster than one can read has not read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hitl_mcp.approvals.models import RequestKind, Verdict
from hitl_mcp.approvals.quorum import person_key

CHARACTERS_PER_WORD: Final = 6
"""Five letters and a space, as in every count of words per minute."""


@dataclass(frozen=True, slots=True)
class JudgedDecision:
    """One decision. `characters` is how much there was to read: the action, the reason and the summary."""

    person: str
    verdict: Verdict
    kind: RequestKind
    decided_at: datetime
    since: datetime
    characters: int
    rewritten: bool = False


@dataclass(frozen=True, slots=True)
class ReadingSpeed:
    """The fastest that a person can have read."""

    words_per_minute: int = 600
    least_seconds: float = 3.0

    def seconds_for(self, characters: int) -> float:
        """The least time for so many characters."""
        words = characters / CHARACTERS_PER_WORD
        return max(self.least_seconds, 60 * words / self.words_per_minute)


@dataclass(frozen=True, slots=True)
class Attention:
    """The measure of one person. Shares are from 0 to 1, None where there is nothing to divide by.

    `hasty` are approvals given faster than what they were about can be read. Drills are counted apart from
    everything else.
    """

    person: str
    decided: int
    approved: int
    hasty: int
    seconds_p50: float | None
    seconds_p90: float | None
    canaries_caught: int
    canaries_missed: int

    @property
    def approved_share(self) -> float | None:
        return self.approved / self.decided if self.decided else None

    @property
    def hasty_share(self) -> float | None:
        return self.hasty / self.approved if self.approved else None


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A drill that a person cancelled, which catches it as well as a denial does."""

    person: str


def measured(
    decisions: Iterable[JudgedDecision], speed: ReadingSpeed, withdrawals: Iterable[Withdrawal] = ()
) -> tuple[Attention, ...]:
    """The measure of everybody who decided, by name."""
    names: dict[str, str] = {}
    made: dict[str, list[JudgedDecision]] = {}
    stopped: dict[str, int] = {}
    for decision in decisions:
        key = person_key(decision.person)
        names.setdefault(key, decision.person)
        made.setdefault(key, []).append(decision)
    for each in withdrawals:
        key = person_key(each.person)
        names.setdefault(key, each.person)
        stopped[key] = stopped.get(key, 0) + 1
    return tuple(_of(names[key], made.get(key, []), speed, stopped.get(key, 0)) for key in sorted(names))


def _of(person: str, made: Sequence[JudgedDecision], speed: ReadingSpeed, stopped: int) -> Attention:
    ordinary = [each for each in made if each.kind is RequestKind.ACTION]
    drills = [each for each in made if each.kind is RequestKind.CANARY]
    approvals = [each for each in ordinary if each.verdict is Verdict.APPROVE]
    times = sorted(map(_seconds, ordinary))
    return Attention(
        person=person,
        decided=len(ordinary),
        approved=len(approvals),
        hasty=sum(_seconds(each) < speed.seconds_for(each.characters) for each in approvals),
        seconds_p50=_percentile(times, 50),
        seconds_p90=_percentile(times, 90),
        canaries_caught=stopped + sum(each.verdict is Verdict.DENY for each in drills),
        canaries_missed=sum(each.verdict is Verdict.APPROVE and not each.rewritten for each in drills),
    )


def _seconds(decision: JudgedDecision) -> float:
    return max(0.0, (decision.decided_at - decision.since).total_seconds())


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    """The nearest rank: a time that was really taken."""
    return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else None
