"""What an action or operator asks for: a package by name and versions, as its language writes them.

Python: PEP 508 and PEP 440. Node.js: `hitl_contract.nodejs_packages`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from executor_mcp.packages.errors import RequirementInvalid
from executor_mcp.packages.npm_ranges import NpmRange, npm_range
from executor_mcp.packages.npm_versions import parse_npm_version
from hitl_contract.action_code import Language
from hitl_contract.nodejs_packages import split_nodejs_package


class Versions(Protocol):
    """A set of versions."""

    def contains(self, version: str, /) -> bool:
        """A pre-release only where the versions name one. Raises for what is no version."""
        ...

    def contains_broadly(self, version: str, /) -> bool:
        """Pre-releases too."""
        ...


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
class PythonVersions:
    """Implements `Versions`."""

    specifiers: SpecifierSet

    def contains(self, version: str, /) -> bool:
        # Said outright: releases of `packaging` differ in what they take without it.
        return self.specifiers.contains(version, prereleases=bool(self.specifiers.prereleases))

    def contains_broadly(self, version: str, /) -> bool:
        return self.specifiers.contains(version, prereleases=True)


@dataclass(frozen=True, slots=True)
class NpmVersions:
    """Implements `Versions`."""

    range: NpmRange

    def contains(self, version: str, /) -> bool:
        return self.range.contains(parse_npm_version(version))

    def contains_broadly(self, version: str, /) -> bool:
        return self.range.contains_broadly(parse_npm_version(version))


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
    return Wanted(text, canonicalize_name(parsed.name), extras, PythonVersions(versions), _exact(versions))


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
    versions = npm_range(comparators)
    return Wanted(text, name, frozenset(), NpmVersions(versions), versions.exact)


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
