"""What an operator lets approvals add: patterns of packages, those of each language by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from executor_mcp.packages.errors import RequirementInvalid
from executor_mcp.packages.npm_ranges import read_npm_range
from executor_mcp.packages.requirements import NpmVersions, PythonVersions, Versions
from hitl_contract.action_code import Language

_PYTHON: Final = re.compile(r"(?P<name>[A-Za-z0-9*._-]+)\s*(?P<versions>[<>=!~].*)?", re.ASCII)
_NODEJS: Final = re.compile(
    r"(?P<name>(?:@[A-Za-z0-9*][A-Za-z0-9*._~-]*/)?[A-Za-z0-9*][A-Za-z0-9*._~-]*)(?:@(?P<versions>.+))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class NamePattern:
    """Packages of one language by name, where `*` stands for any part of one, and by versions; all of them
    where none are.
    """

    text: str
    name: str
    versions: Versions
    language: Language = Language.PYTHON

    @classmethod
    def parse(cls, text: str, language: Language = Language.PYTHON) -> NamePattern:
        """Raises RequirementInvalid."""
        return _nodejs(text) if language is Language.NODEJS else _python(text)

    def names(self, name: str, language: Language) -> bool:
        """Whether it is about some version of the package, by its name in the normal form."""
        return language is self.language and fnmatchcase(name, self.name)

    def matches(self, name: str, version: str, language: Language) -> bool:
        """A pre-release only where the versions name one."""
        return self.names(name, language) and self.versions.contains(version)

    def matches_broadly(self, name: str, version: str, language: Language) -> bool:
        """Pre-releases too; and however a name is written, as registries have names in capitals."""
        return self.names(name.lower(), language) and self.versions.contains_broadly(version)


def _python(text: str) -> NamePattern:
    found = _PYTHON.fullmatch(text)
    try:
        if found is None:
            raise InvalidSpecifier(text)
        versions = PythonVersions(SpecifierSet(found["versions"] or ""))
    except InvalidSpecifier as error:
        raise RequirementInvalid(
            f"{text[:200]!r} is no pattern of packages; write pandas, types-* or pandas>=2,<3"
        ) from error
    return NamePattern(text, canonicalize_name(found["name"]), versions)


def _nodejs(text: str) -> NamePattern:
    found = _NODEJS.fullmatch(text)
    try:
        if found is None:
            raise RequirementInvalid(text)
        versions = NpmVersions(read_npm_range(found["versions"] or ""))
    except RequirementInvalid as error:
        raise RequirementInvalid(
            f"{text[:200]!r} is no pattern of Node.js packages; write lodash, @types/* or lodash@>=4.17 <5"
        ) from error
    return NamePattern(text, found["name"].lower(), versions, Language.NODEJS)


@dataclass(frozen=True, slots=True)
class AdditionRules:
    """What an approval may add here. Without `allowed` nothing."""

    allowed: tuple[NamePattern, ...] = ()
    never: tuple[NamePattern, ...] = ()

    def allow(self, name: str, version: str, language: Language = Language.PYTHON) -> bool:
        """Whether programs may get it by an approval."""
        named = any(one.matches(name, version, language) for one in self.allowed)
        return named and not self.forbid(name, version, language)

    def forbid(self, name: str, version: str, language: Language = Language.PYTHON) -> bool:
        """Whether it must not come along either, as something that another package needs."""
        return any(one.matches_broadly(name, version, language) for one in self.never)

    def may_name(self, name: str, language: Language = Language.PYTHON) -> bool:
        """Whether some version could be allowed."""
        return any(one.names(name, language) for one in self.allowed)

    def texts_allowed(self, language: Language) -> tuple[str, ...]:
        """As the operator wrote them."""
        return _texts(self.allowed, language)

    def texts_never(self, language: Language) -> tuple[str, ...]:
        return _texts(self.never, language)


def _texts(patterns: Iterable[NamePattern], language: Language) -> tuple[str, ...]:
    return tuple(one.text for one in patterns if one.language is language)
