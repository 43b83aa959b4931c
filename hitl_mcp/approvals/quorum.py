"""Who counts, and whether they are enough: pure, and from sealed values alone.

1. Quorum counts people, never channels, spellings or clicks: two ids that differ only in letter case, Unicode
   form or outer white space are one person, and one person takes one seat of a stage.
2. The requester never counts, nor whom the terms exclude, nor, where an editor does not count, who edited;
   not for themselves, not through a delegation to them and not through one from them.
3. A seat of a group is taken by somebody in that group, by somebody acting for a person in it, or by somebody
   of an escalation level that was due when they decided.
4. A stage is filled when every seat of it is taken by another person. Stages are filled in order; an approval
   belongs to the stage that was open when it was given. Where stages are separate it counts in that one
   alone, else also in those after it.
5. So many denials as the terms say end it, whatever was approved.

The seats of a stage are filled by a maximum matching (augmenting paths, Kuhn 1955): who could take either of
two seats takes the one that leaves the other to somebody else.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import lru_cache

from hitl_mcp.approvals.capacity import ActedAs, ActingFor, Capacity
from hitl_mcp.approvals.models import Verdict
from hitl_mcp.approvals.terms import EscalationLevel, GroupQuorum, Stage, Terms


@lru_cache(4096)
def person_key(person: str) -> str:
    """The folded form in which two spellings of one person's id are equal (UAX #15 NFKC, caseless)."""
    folded = person
    # Folding case can undo normalising and the other way round; the second pass reaches the fixed point.
    for _ in range(2):
        folded = unicodedata.normalize("NFKC", folded).casefold()
    return unicodedata.normalize("NFKC", folded).strip()


@dataclass(frozen=True, slots=True)
class Ballot:
    """One person's verdict, in which stage and in what capacity it was given."""

    person: str
    verdict: Verdict
    decided_at: datetime
    stage: int = 0
    acted_as: ActedAs = field(default_factory=ActedAs)

    @property
    def key(self) -> str:
        return person_key(self.person)


@dataclass(frozen=True, slots=True)
class Electorate:
    """What decides who may take which seat. `editors` are those who edited what is decided about."""

    terms: Terms
    requester: str
    created_at: datetime
    editors: tuple[str, ...] = ()

    def bars(self, person: str) -> bool:
        """Whether this person never counts for this request (rule 2)."""
        key = person_key(person)
        barred = {person_key(self.requester), *map(person_key, self.terms.excluded)}
        if not self.terms.editor_counts:
            barred |= {person_key(editor) for editor in self.editors}
        return not key or key in barred

    def may_sit(self, ballot: Ballot, group: str) -> bool:
        """Whether the person of this ballot may take a seat of `group` (rules 2 and 3)."""
        if self.bars(ballot.person):
            return False
        own = (ballot.person, ballot.acted_as.groups)
        lent = [(each.person_id, each.groups) for each in ballot.acted_as.acting_for]
        wanted = person_key(group)
        return any(
            wanted in _folded(groups) or self._escalated(person, groups, ballot.decided_at)
            for person, groups in (own, *lent)
            if not self.bars(person)
        )

    def may_decide(self, ballot: Ballot) -> bool:
        """Whether there is any seat, in any stage, for the person of this ballot."""
        return any(
            self.may_sit(ballot, quorum.group) for stage in self.terms.stages for quorum in stage.quorums
        )

    def _escalated(self, person: str, groups: frozenset[str], at: datetime) -> bool:
        return any(
            self._due(level, at)
            and (
                person_key(person) in map(person_key, level.people)
                or not _folded(groups).isdisjoint(map(person_key, level.groups))
            )
            for level in self.terms.escalation
        )

    def _due(self, level: EscalationLevel, at: datetime) -> bool:
        return at >= self.created_at + timedelta(seconds=level.after_seconds)


@dataclass(frozen=True, slots=True)
class Tally:
    """Who counts for and against. `open_stage` is the first that is not filled, None when all are.

    `missing` are the seats of the open stage that nobody has taken. `denied`: enough denials to end it.
    """

    approving: frozenset[str]
    denying: frozenset[str]
    denied: bool
    open_stage: int | None
    missing: tuple[GroupQuorum, ...]

    @property
    def reached(self) -> bool:
        return not self.denied and self.open_stage is None


def tally(ballots: Iterable[Ballot], electorate: Electorate) -> Tally:
    """Count `ballots`. ValueError for terms that ask nobody: a quorum of nobody is approval by silence."""
    stages = electorate.terms.stages
    if not stages or any(not stage.quorums or min(q.count for q in stage.quorums) < 1 for stage in stages):
        raise ValueError("a quorum needs at least one approval in each of its stages")
    counted = _by_person(ballots)
    denying = frozenset(
        key
        for key, ballot in counted.items()
        if ballot.verdict is Verdict.DENY and electorate.may_decide(ballot)
    )
    approvals = [ballot for ballot in counted.values() if ballot.verdict is Verdict.APPROVE]
    seated: set[str] = set()
    open_stage, missing = None, ()
    for number, stage in enumerate(stages):
        matching = _matching(stage, _of_stage(approvals, number, electorate.terms), electorate)
        seated |= {ballot.key for ballot in matching.values()}
        if len(matching) < stage.seats:
            open_stage, missing = number, _untaken(stage, matching)
            break
    return Tally(
        approving=frozenset(seated),
        denying=denying,
        denied=len(denying) >= max(1, electorate.terms.denials_to_end),
        open_stage=open_stage,
        missing=missing,
    )


@dataclass(frozen=True, slots=True)
class Seat:
    """One seat of a stage, and who takes it, None while nobody does."""

    group: str
    taken_by: Ballot | None


def seating(ballots: Iterable[Ballot], electorate: Electorate) -> tuple[tuple[Seat, ...], ...]:
    """The seats of each stage; those of stages that have not come are free."""
    approvals = [each for each in _by_person(ballots).values() if each.verdict is Verdict.APPROVE]
    stages: list[tuple[Seat, ...]] = []
    come = True
    for number, stage in enumerate(electorate.terms.stages):
        present = _of_stage(approvals, number, electorate.terms) if come else []
        matching = _matching(stage, present, electorate)
        groups = [quorum.group for quorum in stage.quorums for _ in range(quorum.count)]
        stages.append(tuple(Seat(group, matching.get(place)) for place, group in enumerate(groups)))
        come = come and len(matching) == stage.seats
    return tuple(stages)


class NoSeat(Enum):
    """Why an approval cannot be counted now."""

    NOT_IN_ANY_GROUP = auto()
    STAGE_NOT_COME = auto()
    STAGE_PASSED = auto()
    SEATS_TAKEN = auto()


def seat(ballots: Sequence[Ballot], approval: Ballot, electorate: Electorate) -> int | NoSeat:
    """The number of the stage in which `approval` takes a seat besides `ballots`, or why it takes none."""
    counted = tally(ballots, electorate)
    stages = electorate.terms.stages
    if not electorate.may_decide(approval):
        return NoSeat.NOT_IN_ANY_GROUP
    if counted.open_stage is None:
        return NoSeat.SEATS_TAKEN
    now = counted.open_stage
    placed = replace(approval, stage=now)
    present = [each for each in _by_person(ballots).values() if each.verdict is Verdict.APPROVE]
    present = [each for each in present if each.key != approval.key]
    before = _matching(stages[now], _of_stage(present, now, electorate.terms), electorate)
    after = _matching(stages[now], _of_stage([*present, placed], now, electorate.terms), electorate)
    if len(after) > len(before):
        return now
    fits = [any(electorate.may_sit(approval, q.group) for q in stage.quorums) for stage in stages]
    if fits[now]:
        return NoSeat.SEATS_TAKEN
    return NoSeat.STAGE_NOT_COME if any(fits[now:]) else NoSeat.STAGE_PASSED


def still_holding(ballots: Iterable[Ballot], capacities: Mapping[str, Capacity]) -> list[Ballot]:
    """The ballots of those who may decide now, each in what is left of the capacity it was given in.

    `capacities` are those of now, by person key; who is missing may not decide any more.
    """
    held: list[Ballot] = []
    for ballot in ballots:
        now = capacities.get(ballot.key)
        if now is None:
            continue
        then = ballot.acted_as
        lent = [
            ActingFor(each.person_id, _folded(each.groups) & _folded(other.groups), each.delegation_id)
            for each in then.acting_for
            for other in now.acting_for
            if each.delegation_id == other.delegation_id
            and person_key(each.person_id) == person_key(other.person_id)
        ]
        left = ActedAs(_folded(then.groups) & _folded(now.groups), tuple(lent))
        held.append(replace(ballot, acted_as=left))
    return held


def _by_person(ballots: Iterable[Ballot]) -> dict[str, Ballot]:
    """One ballot for each person: a denial if there is one, else the first."""
    counted: dict[str, Ballot] = {}
    for ballot in ballots:
        earlier = counted.get(ballot.key)
        if earlier is None or (earlier.verdict is Verdict.APPROVE and ballot.verdict is Verdict.DENY):
            counted[ballot.key] = ballot
    return counted


def _of_stage(approvals: Iterable[Ballot], number: int, terms: Terms) -> list[Ballot]:
    if terms.separate_stages:
        return [each for each in approvals if each.stage == number]
    return [each for each in approvals if each.stage <= number]


def _matching(stage: Stage, approvals: Sequence[Ballot], electorate: Electorate) -> dict[int, Ballot]:
    """Seat number to who takes it, for as many seats as can be taken at once."""
    seats = [quorum.group for quorum in stage.quorums for _ in range(quorum.count)]
    fitting = [
        [number for number, group in enumerate(seats) if electorate.may_sit(ballot, group)]
        for ballot in approvals
    ]
    taken: dict[int, int] = {}

    def find(ballot: int, tried: set[int]) -> bool:
        for number in fitting[ballot]:
            if number in tried:
                continue
            tried.add(number)
            if number not in taken or find(taken[number], tried):
                taken[number] = ballot
                return True
        return False

    for ballot in range(len(approvals)):
        find(ballot, set())
    return {number: approvals[ballot] for number, ballot in taken.items()}


def _untaken(stage: Stage, matching: Mapping[int, Ballot]) -> tuple[GroupQuorum, ...]:
    left: list[GroupQuorum] = []
    first = 0
    for quorum in stage.quorums:
        open_seats = sum(number not in matching for number in range(first, first + quorum.count))
        first += quorum.count
        if open_seats:
            left.append(GroupQuorum(quorum.group, open_seats))
    return tuple(left)


@lru_cache(1024)
def _folded(groups: frozenset[str]) -> frozenset[str]:
    return frozenset(map(person_key, groups))
