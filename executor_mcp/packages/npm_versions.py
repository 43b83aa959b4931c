"""Versions of npm packages, their order, and which of them comparators mean.

Source: Semantic Versioning 2.0.0, sections 9 to 11, and for ranges the README of npm's `semver`, which tests
hold this against.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from executor_mcp.packages.errors import RequirementInvalid

Release = tuple[int, int, int]

_NUMBER: Final = r"(?:0|[1-9][0-9]{0,14})"
_PART: Final = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION: Final = re.compile(
    rf"(?P<release>{_NUMBER}\.{_NUMBER}\.{_NUMBER})(?:-(?P<pre>{_PART}(?:\.{_PART})*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
_COMPARATOR: Final = re.compile(r"(?P<operator>\^|~|>=|>|<=|<)?(?P<version>[0-9].*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class NpmVersion:
    """Three numbers and the parts of a pre-release; build metadata has no say."""

    release: Release
    pre: tuple[int | str, ...] = ()

    @property
    def key(self) -> tuple[object, ...]:
        """Orders versions. A pre-release comes before its release, numbers before words."""
        if not self.pre:
            return (*self.release, 1)
        parts = tuple((0, part, "") if isinstance(part, int) else (1, 0, part) for part in self.pre)
        return (*self.release, 0, parts)


_FIRST: Final = (0,)
"""The least pre-release, which bounds a range from above so that it has no pre-release of what comes next."""


def parse_npm_version(text: str) -> NpmVersion:
    """Raises RequirementInvalid for what is no complete version."""
    found = _VERSION.fullmatch(text)
    if found is None:
        raise RequirementInvalid(
            f"{text[:200]!r} is no version of an npm package; one is 1.2.3 or 2.0.0-rc.1"
        )
    major, minor, patch = (int(number) for number in found["release"].split("."))
    parts = (found["pre"] or "").split(".") if found["pre"] else []
    return NpmVersion((major, minor, patch), tuple(int(one) if one.isdigit() else one for one in parts))


@dataclass(frozen=True, slots=True)
class NpmRange:
    """The versions for which every bound holds; a pre-release only where a bound names one of its release."""

    bounds: tuple[tuple[str, NpmVersion], ...]
    exact: str | None = None

    def contains(self, version: str) -> bool:
        """Raises RequirementInvalid for what is no complete version."""
        mine = parse_npm_version(version)
        if mine.pre and not any(bound.pre and bound.release == mine.release for _, bound in self.bounds):
            return False
        return all(_holds(mine, operator, bound) for operator, bound in self.bounds)


def npm_range(comparators: Sequence[str]) -> NpmRange:
    """Of comparators as `hitl_contract.nodejs_packages` splits them; none of them means any release."""
    bounds = tuple(bound for comparator in comparators for bound in _bounds(comparator))
    exact = len(bounds) == 1 and bounds[0][0] == "="
    return NpmRange(bounds, comparators[0] if exact else None)


def _holds(mine: NpmVersion, operator: str, bound: NpmVersion) -> bool:
    left, right = mine.key, bound.key
    match operator:
        case ">=":
            return left >= right
        case ">":
            return left > right
        case "<=":
            return left <= right
        case "<":
            return left < right
        case _:
            return left == right


def _bounds(comparator: str) -> list[tuple[str, NpmVersion]]:
    found = _COMPARATOR.fullmatch(comparator)
    if found is None:
        raise RequirementInvalid(f"{comparator[:200]!r} is no comparator of npm versions")
    operator, text = found["operator"] or "", found["version"]
    numbers = [int(number) for number in text.partition("-")[0].split(".")]
    given = len(numbers)
    first: Release = (numbers[0], numbers[1] if given > 1 else 0, numbers[2] if given > 2 else 0)
    low = parse_npm_version(text) if given == 3 else NpmVersion(first)
    if operator in ("^", "~") or (operator == "" and given < 3):
        place = _caret_place(first, given) if operator == "^" else min(given, 2) - 1
        return [(">=", low), ("<", NpmVersion(_after(first, place), _FIRST))]
    if given == 3:
        return [(operator or "=", low)]
    # Of versions that are not named in full, the comparator means all: above or up to their last.
    match operator:
        case ">":
            return [(">=", NpmVersion(_after(first, given - 1)))]
        case "<=":
            return [("<", NpmVersion(_after(first, given - 1), _FIRST))]
        case "<":
            return [("<", NpmVersion(first, _FIRST))]
        case _:
            return [(">=", low)]


def _caret_place(first: Release, given: int) -> int:
    """The leftmost number that is not 0, of those that are given."""
    return next((place for place in range(given) if first[place]), given - 1)


def _after(release: Release, place: int) -> Release:
    """The next release with another number at that place."""
    raised = (*release[:place], release[place] + 1, 0, 0, 0)
    return raised[0], raised[1], raised[2]
