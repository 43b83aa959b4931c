"""What a person may do at one moment, and as what they did it: pure values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ActingFor:
    """A delegation to somebody that is in force and in scope: they also stand for `person_id` in `groups`."""

    person_id: str
    groups: frozenset[str]
    delegation_id: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a person may do now. `groups` are effective roles (hierarchy applied) and groups, folded names."""

    person_id: str
    display_name: str
    groups: frozenset[str]
    acting_for: tuple[ActingFor, ...] = ()


@dataclass(frozen=True, slots=True)
class ActedAs:
    """The capacity in which a decision was made, sealed with it."""

    groups: frozenset[str] = frozenset()
    acting_for: tuple[ActingFor, ...] = ()
