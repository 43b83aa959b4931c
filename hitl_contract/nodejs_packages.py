"""Node.js packages as an action names them: ``NAME`` for any release, or ``NAME@VERSIONS``.

``VERSIONS`` are one to four comparators with one space between them, all of which have to hold: a version, or
``^``, ``~``, ``>=``, ``>``, ``<=``, ``<`` and a version, of which minor and patch may be left out. It means
what npm reads in it. What else npm reads (``||``, hyphens, ``x``, ``*``, tags, addresses, aliases) is no part
of it.
"""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = r"(?:@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*"
_NUMBER: Final = r"(?:0|[1-9][0-9]{0,14})"
_PART: Final = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION: Final = rf"{_NUMBER}(?:\.{_NUMBER}(?:\.{_NUMBER}(?:-{_PART}(?:\.{_PART})*)?)?)?"
_COMPARATOR: Final = rf"(?:\^|~|>=|>|<=|<)?{_VERSION}"
_WANTED: Final = re.compile(
    rf"(?P<name>{_NAME})(?:@(?P<versions>{_COMPARATOR}(?: {_COMPARATOR}){{0,3}}))?", re.ASCII
)
# Of those that nobody can name any more, but that others need: registries have capitals, and tell them apart.
_REGISTRY_NAME: Final = r"(?:@[A-Za-z0-9~-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~][A-Za-z0-9._~-]*"
_EXACT_VERSION: Final = rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PART}(?:\.{_PART})*)?"
_EXACT: Final = re.compile(rf"(?P<name>{_NAME})@{_EXACT_VERSION}", re.ASCII)
_EXACT_NEED: Final = re.compile(rf"(?P<name>{_REGISTRY_NAME})@{_EXACT_VERSION}", re.ASCII)
_MAX_CHARACTERS: Final = 200
_NEVER_NAMES: Final = frozenset({"node_modules", "favicon.ico"})


def nodejs_name(text: str) -> str:
    """The name alone: all before the first ``@`` that is not a scope's."""
    end = text.find("@", 1)
    return text if end < 0 else text[:end]


def split_nodejs_package(text: str) -> tuple[str, tuple[str, ...]]:
    """The name and the comparators, none where any release will do.

    Raises:
        ValueError: it is not written as this module says.
    """
    found = _WANTED.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
    if found is None or found["name"].rpartition("/")[2] in _NEVER_NAMES:
        raise ValueError(
            "must name Node.js packages as NAME or NAME@VERSIONS (for example lodash@4.17.21, "
            "@scope/name@^1.2 or lodash@>=4.17 <5)"
        )
    return found["name"], tuple((found["versions"] or "").split())


def refuse_unless_exact(text: str, *, needed: bool = False) -> None:
    """An exact package is ``NAME@MAJOR.MINOR.PATCH`` with or without a pre-release, so that one is written in
    one way. ``needed``: its name may be any that a registry has.

    Raises:
        ValueError: it is not.
    """
    grammar = _EXACT_NEED if needed else _EXACT
    found = grammar.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
    if found is None or found["name"].rpartition("/")[2] in _NEVER_NAMES:
        raise ValueError(
            "must name one exact version of a Node.js package (for example lodash@4.17.21 or "
            "@scope/name@2.0.0-rc.1)"
        )
