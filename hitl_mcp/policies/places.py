"""Reads a rules file as plain values, and remembers the line that each of them stands on.

A restricted YAML: one document of mappings, lists and scalars of the YAML 1.2 core schema, so `22:00` is a
text and `no` is a word. Keys that stand twice, tags and aliases are refused: none of them says plainly what a
rule means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

import yaml

from hitl_mcp.policies.errors import PolicyProblem, PolicyRefused

MAX_FILE_CHARACTERS: Final = 1_000_000
_INTEGER: Final = re.compile(r"[-+]?[0-9]+\Z")
_NUMBER: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_WORDS: Final[Mapping[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class PlacedDocument:
    """The values of one file. `lines` has the line, from 1, of each key and list item by its path."""

    file: str
    values: object
    lines: Mapping[Path, int]

    def line_of(self, path: Path) -> int:
        """The line of the value at `path`, or of the nearest thing around it."""
        for length in range(len(path), -1, -1):
            line = self.lines.get(path[:length])
            if line is not None:
                return line
        return 1

    def problem(self, path: Path, reason: str) -> PolicyProblem:
        return PolicyProblem(self.file, self.line_of(path), field_name(path), reason)


def field_name(path: Path) -> str:
    """`rules[2].ask.timeout`, as it stands in messages."""
    name = ""
    for part in path:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else str(part)
    return name


def read_document(text: str, file: str) -> PlacedDocument:
    """
    Raises:
        PolicyRefused: the text is no YAML of this kind; the message says where.
    """
    if len(text) > MAX_FILE_CHARACTERS:
        raise _refused(file, 1, f"has {len(text)} characters; at most {MAX_FILE_CHARACTERS} are read")
    try:
        node = cast("yaml.Node | None", yaml.compose(text, Loader=yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _refused(file, line, f"is not YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _refused(file, 1, f"is not YAML: {type(error).__name__}") from None
    reader = _Reader(file)
    values: object = dict[str, object]() if node is None else reader.value(node, ())
    return PlacedDocument(file, values, reader.lines)


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self._seen: set[int] = set()
        self.lines: dict[Path, int] = {}

    def value(self, node: yaml.Node, path: Path) -> object:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if id(node) in self._seen:
            raise _refused(self._file, line, "uses an alias; write it out, or use `terms` and `like`")
        self._seen.add(id(node))
        match node:
            case yaml.ScalarNode():
                return self._scalar(node, line)
            case yaml.SequenceNode():
                self._require_tag(node, "seq")
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            case yaml.MappingNode():
                self._require_tag(node, "map")
                return self._mapping(node, path)
            case _:
                raise _refused(self._file, line, "holds something that is no mapping, list or value")

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise _refused(self._file, line, "has a key that is no word")
            key = str(key_node.value)
            if key in values:
                raise _refused(
                    self._file,
                    line,
                    f"has the key {key!r} twice; the first is on line {self.lines[(*path, key)]}",
                )
            self.lines[(*path, key)] = line
            values[key] = self.value(value_node, (*path, key))
        return values

    def _scalar(self, node: yaml.ScalarNode, line: int) -> object:
        text = str(node.value)
        if node.style in {"'", '"', "|", ">"}:
            self._require_tag(node, "str")
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.match(text):
            # Python refuses to read integers of thousands of digits.
            return int(text) if len(text) <= 18 else text
        if _NUMBER.match(text):
            return float(text)
        if node.tag.startswith("tag:yaml.org,2002:") and not node.tag.endswith((":binary", ":merge")):
            return text
        raise _refused(self._file, line, f"has the tag {node.tag}; tags mean nothing in rules")

    def _require_tag(self, node: yaml.Node, kind: str) -> None:
        if node.tag != f"tag:yaml.org,2002:{kind}":
            raise _refused(
                self._file, node.start_mark.line + 1, f"has the tag {node.tag}; tags mean nothing in rules"
            )


def _refused(file: str, line: int, reason: str) -> PolicyRefused:
    return PolicyRefused((PolicyProblem(file, line, "", reason),))
