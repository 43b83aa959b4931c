"""Which lines are in canonical form for certain, told without parsing each.

Split at its quotes, a line of JSON without escapes is texts in turn with what stands around them: braces,
colons, numbers, `true`. Of two lines that agree in that and in the names of their fields both are canonical
or neither is: they differ in values alone, and a text that has no quote, backslash or control character is
written in one way only, as is a whole number of up to 15 digits. So one line of each shape is parsed and
written anew (RFC 8785) for comparison, and becomes a pattern that finds the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from server_kit.audit_verifier.encoding import canonical, json_object

CONTROL: Final = bytes(range(32))
# Of the escapes that RFC 8785 writes, those of one letter; each becomes a control character, which no such
# line has, so that texts which differ still do.
_ESCAPED: Final = b'\\"nrtbf'
_MEANT: Final = b'\\"\n\r\t\b\f'
_STANDS_FOR: Final = tuple((b"\\%c" % letter, bytes([number])) for number, letter in enumerate(_ESCAPED))
_UNESCAPE: Final = bytes.maketrans(bytes(range(len(_MEANT))), _MEANT)

_FIELDS: Final = (
    *("actor", "at", "chain", "details", "entry_hash", "event", "previous_hash", "sequence", "subject"),
)
_TEXTS: Final = tuple(name for name in _FIELDS if name not in {"details", "sequence"})
ENTRY_HASH, EVENT, PREVIOUS_HASH, SEQUENCE, SUBJECT = range(-5, 0)
"""Where these are among the texts of an entry; `Places` says where those of its details are."""
_KEPT: Final = {b"entry_hash", b"event", b"previous_hash", b"subject"}

_HASH: Final = b'"entry_hash":"'
HASH_BEFORE: Final = len(_HASH)
_TEXT: Final = rb"[^\"]*+"
_NUMBER: Final = rb"(?:0|-?[1-9][0-9]{0,14})"
_SCALAR: Final = re.compile(rb"(?<![0-9a-zA-Z.+-])(?:true|false|null|%b)(?![0-9a-zA-Z.+-])" % _NUMBER)
_ANY_SCALAR: Final = rb"(?:true|false|null|%b)" % _NUMBER
_MOST_ALIKE: Final = 32
_MOST: Final = 4096

Texts = Sequence[bytes]
Places = Mapping[bytes, int]
Entry = tuple[Texts, Places, int]
"""An entry whose line is canonical: its texts, and where in the line its `entry_hash` begins."""


class Shape(NamedTuple):
    """What finds the lines of one shape; `hash_group` is the group of their `entry_hash`."""

    fullmatch: Callable[..., re.Match[bytes] | None]
    places: Places
    hash_group: int


class Shapes:
    """Remembers the shapes of one log that it has seen proven; of details it keeps the texts `named`."""

    def __init__(self, chain: str, named: frozenset[bytes]) -> None:
        self._chain = chain
        self._named = named
        self._by_quotes: dict[int, list[Shape]] = {}
        self.by_length: dict[int, Shape] = {}
        """The shape of the last line of that length that was told: most often that of the next one too."""

    def entry(self, line: bytes) -> Entry | None:
        """What stands on an entry's line that is in canonical form for certain; None of any other line.

        Args:
            line: without its end.
        """
        if len(line.translate(None, CONTROL)) != len(line):
            return None
        plain = line
        if b"\\" in line:
            for escape, character in _STANDS_FOR:
                plain = plain.replace(escape, character)
            if b"\\" in plain:
                return None
        try:
            line.decode()
        except UnicodeDecodeError:
            return None
        shape = self._shape(line, plain)
        match = None if shape is None else shape.fullmatch(plain)
        if shape is None or match is None:
            return None
        if plain is line:
            return match.groups(), shape.places, match.start(shape.hash_group) - HASH_BEFORE
        # Behind the details no name stands twice, and a quote within a text has a backslash before it.
        texts = tuple(text.translate(_UNESCAPE) for text in match.groups())
        return texts, shape.places, line.rfind(_HASH)

    def _shape(self, line: bytes, plain: bytes) -> Shape | None:
        quotes = plain.count(b'"')
        alike = self._by_quotes.get(quotes, [])
        for shape in alike:
            if shape.fullmatch(plain) is not None:
                break
        else:
            shape = self._proven(line, plain)
            if shape is None or shape.fullmatch(plain) is None:
                return None
            if len(self._by_quotes) >= _MOST:
                self._by_quotes.clear()
            self._by_quotes[quotes] = [shape, *alike[: _MOST_ALIKE - 1]]
        if len(self.by_length) >= _MOST:
            self.by_length.clear()
        self.by_length[len(plain)] = shape
        return shape

    def _proven(self, line: bytes, plain: bytes) -> Shape | None:
        try:
            record = json_object(line)
            if record is None or tuple(record) != _FIELDS or canonical(record) != line:
                return None
        except (UnicodeEncodeError, RecursionError):
            return None
        if (
            not all(isinstance(record[name], str) for name in _TEXTS)
            or record["chain"] != self._chain
            or type(record["sequence"]) is not int
            or not isinstance(record["details"], dict)
        ):
            return None
        return self._pattern(plain.split(b'"'))

    def _pattern(self, parts: list[bytes]) -> Shape:
        """The shape of lines like this one: texts are at odd places, a name has a colon behind it."""
        written: list[bytes] = []
        places: dict[bytes, int] = {}
        depth = 0
        name = b""
        for number, part in enumerate(parts):
            if number % 2 == 0:
                if name == b"sequence" and depth == 1:
                    written.append(rb":([0-9]++),")
                else:
                    written.append(_ANY_SCALAR.join(map(re.escape, _SCALAR.split(part))))
                depth += part.count(b"{") + part.count(b"[") - part.count(b"}") - part.count(b"]")
            elif parts[number + 1].startswith(b":"):
                name = part
                written.append(re.escape(part))
            else:
                # Directly in the record are nothing but texts, its number and the details.
                if depth == 1 and name == b"chain":
                    written.append(re.escape(part))
                elif depth == 1 and name in _KEPT:
                    written.append(b"(%b)" % _TEXT)
                elif depth == 2 and name in self._named and parts[number - 1] == b":":
                    places[name] = len(places)
                    written.append(b"(%b)" % _TEXT)
                else:
                    written.append(_TEXT)
                name = b""
        return Shape(re.compile(b'"'.join(written)).fullmatch, places, len(places) + 1)
