"""Versions of npm packages and their order.

Source: Semantic Versioning 2.0.0, sections 9 to 11.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from executor_mcp.packages.errors import RequirementInvalid

Release = tuple[int, int, int]

_NUMBER: Final = r"(?:0|[1-9][0-9]{0,14})"
PART: Final = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
"""One part of a pre-release."""
_VERSION: Final = re.compile(
    rf"(?P<release>{_NUMBER}\.{_NUMBER}\.{_NUMBER})(?:-(?P<pre>{PART}(?:\.{PART})*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)


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

    def __str__(self) -> str:
        release = ".".join(map(str, self.release))
        return f"{release}-{'.'.join(map(str, self.pre))}" if self.pre else release


def parse_npm_version(text: str) -> NpmVersion:
    """Raises RequirementInvalid for what is no complete version."""
    found = _VERSION.fullmatch(text)
    if found is None:
        raise RequirementInvalid(
            f"{text[:200]!r} is no version of an npm package; one is 1.2.3 or 2.0.0-rc.1"
        )
    major, minor, patch = (int(number) for number in found["release"].split("."))
    return NpmVersion((major, minor, patch), pre_release(found["pre"]))


def pre_release(text: str | None) -> tuple[int | str, ...]:
    """The parts of what stands after the hyphen."""
    return tuple(int(one) if one.isdigit() else one for one in text.split(".")) if text else ()
