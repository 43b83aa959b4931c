"""Who there is to ask, and whether the seats of a rule could ever be filled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.approvals.terms import ANY_APPROVER, Terms


@dataclass(frozen=True, slots=True)
class KnownPeople:
    """A snapshot: the active people of each role and group, and everybody's id. All names are folded.

    Without any approver (a server that is being set up) nothing is known, and nothing is refused for it.
    """

    groups: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    people: frozenset[str] = frozenset()

    @classmethod
    def of(cls, groups: Mapping[str, Sequence[str]], people: Sequence[str] = ()) -> KnownPeople:
        folded = {person_key(name): frozenset(map(person_key, members)) for name, members in groups.items()}
        everybody = frozenset(map(person_key, people)).union(*folded.values())
        return cls(folded, everybody)

    @property
    def are_known(self) -> bool:
        return bool(self.groups.get(ANY_APPROVER))

    def members(self, group: str) -> frozenset[str]:
        return self.groups.get(person_key(group), frozenset())


class PeopleSource(Protocol):
    """Reads the snapshot that rules are checked against."""

    async def known_people(self) -> KnownPeople: ...


@dataclass(frozen=True, slots=True)
class Seat:
    """One seat of a quorum, and who could take it."""

    stage: int
    group: str
    candidates: frozenset[str]


def unfillable(terms: Terms, known: KnownPeople) -> str | None:
    """Why these terms could never be met, even with everybody of every escalation level; None otherwise.

    A maximum matching of people to seats (Kuhn 1955): by Hall's theorem a set of seats that has too few
    people exists exactly when not every seat is matched.
    """
    if terms.separate_stages:
        rounds = [_seats(terms, known)]
    else:
        rounds = [
            [seat for seat in _seats(terms, known) if seat.stage == stage]
            for stage in range(len(terms.stages))
        ]
    for seats in rounds:
        short = _unmatched(seats)
        if short is not None:
            needed = sum(seat.group == short.group for seat in seats)
            return (
                f"can never be met: it needs {len(seats)} different people, {needed} of them from "
                f"{short.group}, and too few may take those seats ({len(short.candidates)} in {short.group})"
            )
    return None


def _seats(terms: Terms, known: KnownPeople) -> list[Seat]:
    excluded = frozenset(map(person_key, terms.excluded))
    everywhere = frozenset[str]().union(
        *(known.members(group) for level in terms.escalation for group in level.groups),
        *(map(person_key, level.people) for level in terms.escalation),
    )
    approvers = known.members(ANY_APPROVER)
    return [
        Seat(number, quorum.group, (known.members(quorum.group) | everywhere) & approvers - excluded)
        for number, stage in enumerate(terms.stages)
        for quorum in stage.quorums
        # More seats than people are unfillable whatever their number.
        for _ in range(min(quorum.count, len(known.people) + 1))
    ]


def _unmatched(seats: Sequence[Seat]) -> Seat | None:
    """A seat that stays empty in the best seating; None when all are taken."""
    seated: dict[str, int] = {}

    def take(index: int, tried: set[str]) -> bool:
        for person in sorted(seats[index].candidates - tried):
            tried.add(person)
            if person not in seated or take(seated[person], tried):
                seated[person] = index
                return True
        return False

    return next((seats[index] for index in range(len(seats)) if not take(index, set())), None)


class _Person(Protocol):
    @property
    def person_id(self) -> str: ...
    @property
    def roles(self) -> Sequence[str]: ...


class _Group(Protocol):
    @property
    def name(self) -> str: ...


class _People(Protocol):
    async def list(self) -> Sequence[_Person]: ...
    async def members(self, group: str) -> Sequence[str]: ...


class _Groups(Protocol):
    async def list(self) -> Sequence[_Group]: ...


class PeopleInDirectories:
    """Implements `PeopleSource` over the directories of people and groups, and the roles that are set up."""

    def __init__(self, people: _People, groups: _Groups, roles: Iterable[str] = ()) -> None:
        self._people = people
        self._groups = groups
        self._roles = tuple(roles)

    async def known_people(self) -> KnownPeople:
        everybody = await self._people.list()
        names = {ANY_APPROVER, *self._roles, *(group.name for group in await self._groups.list())}
        names.update(role for person in everybody for role in person.roles)
        members = {name: await self._people.members(name) for name in sorted(names)}
        found = {name: people for name, people in members.items() if people}
        return KnownPeople.of(found, [person.person_id for person in everybody])
