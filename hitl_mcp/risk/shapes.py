"""What makes two operations alike: a kind that has to be the same, and features of which most have to be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from hitl_contract.action import Action
from hitl_contract.action_code import CodeExecution
from hitl_contract.action_operations import FileChange, Generic, HttpRequest, ShellCommand, ToolCall
from hitl_contract.action_packages import PackageAddition, name_of

_READ_CHARACTERS: Final = 8192
_MOST_FEATURES: Final = 64
_ALIKE: Final = 0.5

# The words that say what a program does: what it imports and calls, its commands, its statements and tables.
_WORDS: Final = {
    "python": re.compile(r"^\s*(?:import|from)\s+([\w.]+)|([\w.]{2,40})\(", re.MULTILINE),
    "nodejs": re.compile(r"""require\(["']([^"']{1,60})|from\s+["']([^"']{1,60})|([\w.]{2,40})\("""),
    "bash": re.compile(r"(?:^|[|;&]|\$\()\s*([\w./-]{1,40})", re.MULTILINE),
    "sql": re.compile(
        r"\b(select|insert|update|delete|merge|create|alter|drop|truncate|grant|revoke|copy|call)\b"
        r"|\b(?:from|into|join|table|update)\s+([\w.\"]{1,60})",
        re.IGNORECASE,
    ),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What is left of an operation without its values."""

    kind: str
    features: frozenset[str]

    def is_like(self, other: Shape) -> bool:
        """Tell whether both are of one kind and share at least half of their features."""
        if self.kind != other.kind:
            return False
        every = self.features | other.features
        return not every or len(self.features & other.features) / len(every) >= _ALIKE


def shape_of(action: Action) -> Shape:
    """The shape of an action; of long programs, of their first 8,192 characters."""
    match action:
        case CodeExecution():
            kind = f"{action.type} {action.language.value} {action.network.mode.value}"
            return _shape(kind, _words(action.language.value, action.code))
        case PackageAddition():
            names = (name_of(each, action.language) for each in action.packages)
            return _shape(f"{action.type} {action.language}", names)
        case ShellCommand():
            program = PurePosixPath(action.argv[0]).name
            return _shape(f"{action.type} {program}", _arguments(action.argv[1:]))
        case ToolCall():
            return _shape(f"{action.type} {action.server} {action.tool}", action.arguments)
        case HttpRequest():
            parts = urlsplit(action.url)
            kind = f"{action.type} {action.method} {parts.hostname}"
            return _shape(kind, parts.path.split("/")[1:3])
        case FileChange():
            path = PurePosixPath(action.path)
            return _shape(f"{action.type} {path.suffix}", path.parts[:-1])
        case Generic():
            return _shape(f"{action.type} {action.operation}", action.details)


def _shape(kind: str, features: Iterable[str]) -> Shape:
    kept: set[str] = set()
    for feature in features:
        if len(kept) >= _MOST_FEATURES:
            break
        kept.add(feature[:100])
    return Shape(kind, frozenset(kept))


def _words(language: str, code: str) -> Iterable[str]:
    for found in _WORDS[language].finditer(code[:_READ_CHARACTERS]):
        yield next(filter(None, found.groups())).lower()


def _arguments(arguments: Iterable[str]) -> Iterable[str]:
    """Its sub-commands and options; values are what differs."""
    for argument in arguments:
        if argument.startswith("-"):
            yield argument.split("=", 1)[0]
        elif re.fullmatch(r"[a-z][a-z-]{1,30}", argument):
            yield argument
