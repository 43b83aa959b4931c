"""What an action or operator asks for: a package by name and versions, as its language writes them.

Python: PEP 508 and PEP 440. Node.js: `hitl_contract.nodejs_packages`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from executor_mcp.packages.errors import RequirementInvalid
from executor_mcp.packages.npm_versions import NpmRange, npm_range, parse_npm_version
from hitl_contract.action_code import Language
from hitl_contract.nodejs_packages import split_nodejs_package

_PATTERN = re.compile(r"([A-Za-z0-9*._-]+)\s*([<>=!~].*)?", re.ASCII)


class Versions(Protocol):
    """A set of versions."""

    def contains(self, version: str, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A package by its normalised name, the extras it must have, and the versions that will do."""

    text: str
    name: str
    extras: frozenset[str]
    versions: Versions
    exact_version: str | None
    """The one version that is named, with `==` in Python, or None."""

    def admits(self, version: str) -> bool:
        """Whether this version will do; a pre-release only where the versions name one."""
        return self.versions.contains(version)


def parse_requirement(text: str, language: Language = Language.PYTHON) -> Wanted:
    """Raises RequirementInvalid for anything but a name, extras and versions: no address, no marker."""
    return _nodejs(text) if language is Language.NODEJS else _python(text)


@dataclass(frozen=True, slots=True)
class _Specifiers:
    """Python's versions. Implements `Versions`."""

    specifiers: SpecifierSet

    def contains(self, version: str, /) -> bool:
        return _contains(self.specifiers, version)


def _python(text: str) -> Wanted:
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
    versions = parsed.specifier
    return Wanted(text, canonicalize_name(parsed.name), extras, _Specifiers(versions), _exact(versions))


def _exact(versions: SpecifierSet) -> str | None:
    found = [one for one in versions if one.operator == "==" and not one.version.endswith(".*")]
    return str(Version(found[0].version)) if len(versions) == 1 and found else None


def _nodejs(text: str) -> Wanted:
    try:
        name, comparators = split_nodejs_package(text)
    except ValueError as error:
        raise RequirementInvalid(
            f"{text[:200]!r} is no Node.js package; write lodash@4.17.21 or @scope/name@>=1.2 <3"
        ) from error
    versions: NpmRange = npm_range(comparators)
    return Wanted(text, name, frozenset(), versions, versions.exact)


def normal_name(name: str, language: Language) -> str:
    """As names of packages are compared."""
    return name if language is Language.NODEJS else canonicalize_name(name)


def order_of(version: str, language: Language) -> object:
    """Orders versions of one language. Raises ValueError or RequirementInvalid for what is no version."""
    return parse_npm_version(version).key if language is Language.NODEJS else Version(version)


def exactly(name: str, version: str, language: Language) -> str:
    """One version of a package, as its language writes it."""
    return f"{name}@{version}" if language is Language.NODEJS else f"{name}=={version}"


class AllowList:
    """Which packages, in which versions, an operator allows at all."""

    def __init__(
        self, requirements: Iterable[str], others: Mapping[Language, Iterable[str]] | None = None
    ) -> None:
        """`requirements` are Python's. Raises RequirementInvalid."""
        lists: dict[Language, Iterable[str]] = {Language.PYTHON: requirements, **(others or {})}
        self._allowed = {
            language: tuple(parse_requirement(text, language) for text in texts)
            for language, texts in lists.items()
        }

    def allows(self, name: str, version: str, language: Language = Language.PYTHON) -> bool:
        return any(one.name == name and one.admits(version) for one in self._allowed.get(language, ()))

    def names(self, language: Language = Language.PYTHON) -> tuple[str, ...]:
        return tuple(sorted({one.name for one in self._allowed.get(language, ())}))


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
            return cls(text, canonicalize_name(found[1]), SpecifierSet(found[2] or ""))
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
