"""Ranges of npm versions, as `package.json` and actions write them, and which versions they hold.

Source: the README of npm's `semver`, against which tests hold this. What it reads in strict mode is read
here, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from executor_mcp.packages.errors import RequirementInvalid
from executor_mcp.packages.npm_versions import PART, NpmVersion, Release, pre_release

Bound = tuple[str, NpmVersion]
Bounds = tuple[Bound, ...]
"""All of them have to hold."""

MAX_CHARACTERS: Final = 1000
_PARTIAL: Final = re.compile(
    r"(?P<operator>~>|~|\^|>=|<=|>|<|=|) ?(?P<prefix>[v=]*)"
    r"(?P<major>0|[1-9][0-9]{0,14}|[xX*])"
    r"(?:\.(?P<minor>0|[1-9][0-9]{0,14}|[xX*])"
    rf"(?:\.(?P<patch>0|[1-9][0-9]{{0,14}}|[xX*])(?:-(?P<pre>{PART}(?:\.{PART})*))?)?)?",
    re.ASCII,
)
_BUILD: Final = re.compile(r"\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*", re.ASCII)
_HYPHEN: Final = " - "
_FIRST: Final = (0,)
"""The least pre-release, which bounds a range from above so that it has no pre-release of what comes next."""
_NOTHING: Final[Bounds] = (("<", NpmVersion((0, 0, 0), _FIRST)),)


@dataclass(frozen=True, slots=True)
class NpmRange:
    """Versions for which one of several alternatives holds, each of them made of bounds."""

    alternatives: tuple[Bounds, ...]
    """A pre-release only where a bound of the same alternative names one of its release."""
    with_pre_releases: tuple[Bounds, ...]
    """Every pre-release counts like a version."""
    exact: str | None = None
    """The one version that is named, or None."""

    def contains(self, version: NpmVersion) -> bool:
        return any(
            all(_holds(version, *bound) for bound in bounds)
            and (
                not version.pre or any(bound.pre and bound.release == version.release for _, bound in bounds)
            )
            for bounds in self.alternatives
        )

    def contains_broadly(self, version: NpmVersion) -> bool:
        """Pre-releases too."""
        return any(all(_holds(version, *bound) for bound in bounds) for bounds in self.with_pre_releases)


@dataclass(frozen=True, slots=True)
class _Partial:
    """A comparator as it is written: numbers up to the first that is left out or `x`."""

    operator: str
    numbers: tuple[int, ...]
    pre: tuple[int | str, ...]

    def low(self, *, least: bool) -> NpmVersion:
        major, minor, patch, *_ = (*self.numbers, 0, 0, 0)
        return NpmVersion((major, minor, patch), self.pre or (_FIRST if least else ()))

    def next(self, place: int) -> NpmVersion:
        """Below all of what has another number there."""
        return NpmVersion(_after(self.low(least=False).release, place), _FIRST)


def read_npm_range(text: str) -> NpmRange:
    """Raises RequirementInvalid for what npm would not read."""
    plain: list[Bounds] = []
    broad: list[Bounds] = []
    whole = " ".join(text.split()) if len(text) <= MAX_CHARACTERS else None
    for alternative in [None] if whole is None else whole.split("||"):
        read = None if alternative is None else _alternative(_BUILD.sub("", alternative.strip()))
        if read is None:
            raise RequirementInvalid(f"{text[:200]!r} is no range of npm versions")
        plain.append(read[0])
        broad.append(read[1])
    # As npm has it: beside "any version" nothing else is looked at.
    return NpmRange(((),) if () in plain else tuple(plain), tuple(broad), _exact(plain))


def npm_range(comparators: Sequence[str]) -> NpmRange:
    """Of comparators as `hitl_contract.nodejs_packages` splits them; none of them means any release."""
    return read_npm_range(" ".join(comparators))


def _exact(alternatives: Sequence[Bounds]) -> str | None:
    bounds = alternatives[0] if len(alternatives) == 1 else ()
    return str(bounds[0][1]) if len(bounds) == 1 and bounds[0][0] == "=" else None


def _alternative(text: str) -> tuple[Bounds, Bounds] | None:
    """Without pre-releases, and with them."""
    low, hyphen, high = text.partition(_HYPHEN)
    if hyphen:
        ends = (_partials(low, after_x=True), _partials(high, after_x=True))
        if any(end is None or len(end) != 1 or end[0].operator for end in ends):
            return None
        (first,), (last,) = (end for end in ends if end is not None)
        return _without_floor(_hyphen(first, last, broad=False)), _hyphen(first, last, broad=True)
    found = _partials(text)
    if found is None:
        return None
    plain, broad = (
        tuple(bound for one in found for bound in _bounds(one, broad=broad)) for broad in (False, True)
    )
    return _without_floor(plain), broad


def _partials(text: str, *, after_x: bool = False) -> list[_Partial] | None:
    found: list[_Partial] = []
    place = 0
    while place < len(text):
        read = _PARTIAL.match(text, place)
        one = None if read is None else _partial(read, after_x=after_x)
        if read is None or one is None or (read.end() < len(text) and text[read.end()] != " "):
            return None
        found.append(one)
        place = read.end() + 1
    return found


def _partial(read: re.Match[str], *, after_x: bool) -> _Partial | None:
    """`after_x`: a number that stands after an `x` is not looked at, as it is not after `~` and `^`."""
    texts = (read["major"], read["minor"], read["patch"])
    given = next((place for place, one in enumerate(texts) if one is None or one in "xX*"), 3)
    operator = "~" if read["operator"] == "~>" else read["operator"]
    if operator not in ("~", "^"):
        later = any(one is not None and one not in "xX*" for one in texts[given:])
        if (later and not after_x) or (given == 3 and (read["prefix"] not in ("", "v"))):
            return None
    numbers = tuple(int(one or "") for one in texts[:given])
    return _Partial(operator, numbers, pre_release(read["pre"]) if given == 3 else ())


def _hyphen(low: _Partial, high: _Partial, *, broad: bool) -> Bounds:
    bounds: list[Bound] = []
    if low.numbers:
        bounds.append((">=", low.low(least=broad)))
    given = len(high.numbers)
    if given in (1, 2) or (given == 3 and broad and not high.pre):
        bounds.append(("<", high.next(given - 1)))
    elif given == 3:
        bounds.append(("<=", high.low(least=False)))
    return tuple(bounds)


def _bounds(one: _Partial, *, broad: bool) -> Bounds:
    given = len(one.numbers)
    if given == 0:
        return _NOTHING if one.operator in ("<", ">") else ()
    if one.operator in ("^", "~") or (one.operator in ("", "=") and given < 3):
        place = _caret_place(one.numbers) if one.operator == "^" else min(given, 2) - 1
        return ((">=", one.low(least=broad and given < 3)), ("<", one.next(place)))
    if given == 3:
        return ((one.operator or "=", one.low(least=False)),)
    # Of versions that are not named in full, the comparator means all: above or up to their last.
    match one.operator:
        case ">":
            above = one.next(given - 1)
            return ((">=", above if broad else NpmVersion(above.release)),)
        case "<=":
            return (("<", one.next(given - 1)),)
        case "<":
            return (("<", one.low(least=True)),)
        case _:
            return ((">=", one.low(least=broad)),)


def _without_floor(bounds: Bounds) -> Bounds:
    """As npm has it: what is from 0.0.0 on is any version."""
    return tuple(bound for bound in bounds if bound != (">=", NpmVersion((0, 0, 0))))


def _caret_place(numbers: Sequence[int]) -> int:
    """The leftmost number that is not 0, of those that are given."""
    return next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)


def _after(release: Release, place: int) -> Release:
    """The next release with another number at that place."""
    raised = (*release[:place], release[place] + 1, 0, 0, 0)
    return raised[0], raised[1], raised[2]


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
