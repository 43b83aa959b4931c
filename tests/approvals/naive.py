"""What should happen to a request, as plainly as possible: tries every way to seat people, knows no seals."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

Seats = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class House:
    """The rules of one request. `seats` has a tuple of groups for each stage. Times are seconds."""

    seats: Seats
    requester: str = "agent-1"
    separate: bool = True
    denials: int = 1
    excluded: frozenset[str] = frozenset()
    escalate_at: int | None = None
    escalated: frozenset[str] = frozenset()
    editor_counts: bool = True
    unsafe: bool = False
    expires: int = 100
    validity: int = 60


@dataclass(frozen=True)
class Member:
    """A person now: their groups, and for whom they stand with which."""

    groups: frozenset[str]
    stands_for: tuple[tuple[str, frozenset[str]], ...] = ()


@dataclass(frozen=True)
class Vote:
    person: str
    yes: bool
    wording: int
    stage: int
    at: int
    member: Member


@dataclass(frozen=True)
class Case:
    """One request in the model. `wording` counts edits; `editors` are who made them."""

    house: House
    status: str = "PENDING"
    wording: int = 0
    editors: tuple[str, ...] = ()
    votes: frozenset[Vote] = frozenset()
    revoked: bool = False
    silent: bool = False

    def barred(self, person: str) -> bool:
        edited = not self.house.editor_counts and person in self.editors
        return person == self.house.requester or person in self.house.excluded or edited

    def fits(self, person: str, member: Member, group: str, at: int) -> bool:
        if self.barred(person):
            return False
        faces = [(person, member.groups), *member.stands_for]
        due = self.house.escalate_at is not None and at >= self.house.escalate_at
        return any(
            group in groups or (due and bool(groups & self.house.escalated))
            for face, groups in faces
            if not self.barred(face)
        )

    def fits_anywhere(self, person: str, member: Member, at: int) -> bool:
        return any(self.fits(person, member, group, at) for stage in self.house.seats for group in stage)

    def filled(self, stage: int, votes: frozenset[Vote]) -> int:
        """The most seats of the stage that these votes can fill: every order of people is tried."""
        usable = [v for v in votes if v.stage == stage or (not self.house.separate and v.stage < stage)]
        seats = self.house.seats[stage]
        best = 0
        for order in itertools.permutations([*usable, *([None] * len(seats))], len(seats)):
            taken = sum(
                vote is not None and self.fits(vote.person, vote.member, group, vote.at)
                for vote, group in zip(order, seats, strict=True)
            )
            best = max(best, taken)
        return best

    def standing(self, yes: bool) -> frozenset[Vote]:
        return frozenset(vote for vote in self.votes if vote.wording == self.wording and vote.yes is yes)

    def open_stage(self, votes: frozenset[Vote]) -> int | None:
        for stage, seats in enumerate(self.house.seats):
            if self.filled(stage, votes) < len(seats):
                return stage
        return None

    # What happens.

    def time_out(self, now: int) -> Case:
        if self.status != "PENDING" or now < self.house.expires:
            return self
        if self.house.unsafe and not self.editors and all(vote.yes for vote in self.votes):
            return replace(self, status="APPROVED", silent=True)
        return replace(self, status="TIMEOUT")

    def decide(self, person: str, member: Member | None, *, yes: bool, stale: bool, now: int) -> Case:
        mine = [vote for vote in self.votes if vote.person == person and vote.wording == self.wording]
        if mine and mine[0].yes is yes:
            return self
        after = self.time_out(now)
        if after.status != "PENDING" or mine or stale or member is None:
            return after
        if self.barred(person) or not self.fits_anywhere(person, member, now):
            return self
        if not yes:
            denied = replace(self, votes=self.votes | {Vote(person, False, self.wording, 0, now, member)})
            enough = len(denied.standing(False)) >= self.house.denials
            return replace(denied, status="DENIED") if enough else denied
        votes = self.standing(True)
        stage = self.open_stage(votes)
        if stage is None:
            return self
        vote = Vote(person, True, self.wording, stage, now, member)
        if self.filled(stage, votes | {vote}) == self.filled(stage, votes):
            return self
        approved = replace(self, votes=self.votes | {vote})
        done = approved.open_stage(approved.standing(True)) is None
        return replace(approved, status="APPROVED") if done else approved

    def edit(self, person: str, member: Member | None, now: int) -> Case:
        after = self.time_out(now)
        if after.status != "PENDING" or member is None:
            return after
        unedited = replace(self, editors=())
        if unedited.barred(person) or not unedited.fits_anywhere(person, member, now):
            return self
        return replace(self, wording=self.wording + 1, editors=(*self.editors, person))

    def cancel(self, now: int) -> Case:
        after = self.time_out(now)
        return replace(self, status="CANCELLED") if after.status == "PENDING" else after

    def revoke(self) -> Case:
        return replace(self, revoked=True) if self.status == "APPROVED" else self

    def collects(self, now: int, members: Mapping[str, Member]) -> bool:
        """Whether the agent gets a token now, from people as they are now."""
        if self.status != "APPROVED" or self.revoked:
            return False
        if self.silent:
            return now < self.house.expires + self.house.validity
        votes = self.standing(True)
        since = max(vote.at for vote in votes)
        left = frozenset(
            replace(vote, member=_left(vote.member, members[vote.person]))
            for vote in votes
            if vote.person in members
        )
        return now < since + self.house.validity and self.open_stage(left) is None


def _left(then: Member, now: Member) -> Member:
    lent = dict(now.stands_for)
    return Member(
        then.groups & now.groups,
        tuple((face, groups & lent[face]) for face, groups in then.stands_for if face in lent),
    )
