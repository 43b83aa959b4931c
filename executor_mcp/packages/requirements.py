"""What an action or operator asks for: a Python package by name, extras and versions (PEP 508, PEP 440)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from executor_mcp.packages.errors import RequirementInvalid
from hitl_contract.action_packages import normal_name

_PATTERN = re.compile(r"([A-Za-z0-9*._-]+)\s*([<>=!~].*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A package by its normalised name, the extras it must have, and the versions that will do."""

    text: str
    name: str
    extras: frozenset[str]
    versions: SpecifierSet

    def admits(self, version: str) -> bool:
        """Whether this version will do; a pre-release only where the versions name one."""
        return _contains(self.versions, version)

    @property
    def exact_version(self) -> str | None:
        """The one version that is named with `==`, or None."""
        found = [one for one in self.versions if one.operator == "==" and not one.version.endswith(".*")]
        return str(Version(found[0].version)) if len(self.versions) == 1 and found else None


def parse_requirement(text: str) -> Wanted:
    """Raises RequirementInvalid for anything but a name, extras and versions: no address, no marker."""
    try:
        parsed = Requirement(text)
        for one in parsed.specifier:
            Version(one.version.removesuffix(".*"))
    except (InvalidRequirement, InvalidVersion) as error:
        raise RequirementInvalid(
            f"{text[:200]!r} is no Python requirement; write requests==2.32.3 or requests>=2.31,<3"
        ) from error
    if parsed.url is not None or parsed.marker is not None:
        raise RequirementInvalid(
            f"{text[:200]!r}: an address or a marker is not allowed; name versions alone"
        )
    extras = frozenset(canonicalize_name(extra) for extra in parsed.extras)
    return Wanted(text, canonicalize_name(parsed.name), extras, parsed.specifier)


class AllowList:
    """Which packages, in which versions, an operator allows at all."""

    def __init__(self, requirements: Iterable[str]) -> None:
        """Raises RequirementInvalid."""
        self._allowed = tuple(parse_requirement(text) for text in requirements)

    def allows(self, name: str, version: str) -> bool:
        return any(one.name == name and one.admits(version) for one in self._allowed)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted({one.name for one in self._allowed}))


@dataclass(frozen=True, slots=True)
class NamePattern:
    """Packages by name, where `*` stands for any part of one, and by versions; all of them where none are."""

    text: str
    name: str
    versions: SpecifierSet

    @classmethod
    def parse(cls, text: str) -> NamePattern:
        """Raises RequirementInvalid."""
        found = _PATTERN.fullmatch(text)
        try:
            if found is None:
                raise InvalidSpecifier(text)
            return cls(text, normal_name(found[1]), SpecifierSet(found[2] or ""))
        except InvalidSpecifier as error:
            raise RequirementInvalid(
                f"{text[:200]!r} is no pattern of packages; write pandas, types-* or pandas>=2,<3"
            ) from error

    def matches(self, name: str, version: str) -> bool:
        """`name` in its normal form; a pre-release only where the versions name one."""
        return fnmatchcase(name, self.name) and _contains(self.versions, version)

    def matches_broadly(self, name: str, version: str) -> bool:
        """Pre-releases too."""
        return fnmatchcase(name, self.name) and self.versions.contains(version, prereleases=True)


@dataclass(frozen=True, slots=True)
class AdditionRules:
    """What an approval may add here. Without `allowed` nothing."""

    allowed: tuple[NamePattern, ...] = ()
    never: tuple[NamePattern, ...] = ()

    def allow(self, name: str, version: str) -> bool:
        """Whether programs may get it by an approval."""
        return any(one.matches(name, version) for one in self.allowed) and not self.forbid(name, version)

    def forbid(self, name: str, version: str) -> bool:
        """Whether it must not come along either, as something that another package needs."""
        return any(one.matches_broadly(name, version) for one in self.never)

    def may_name(self, name: str) -> bool:
        """Whether some version could be allowed."""
        return any(fnmatchcase(name, one.name) for one in self.allowed)


def _contains(versions: SpecifierSet, version: str) -> bool:
    # Said outright: releases of `packaging` differ in what they take without it.
    return versions.contains(version, prereleases=bool(versions.prereleases))


def newest(versions: Iterable[str]) -> str:
    return max(versions, key=Version)
