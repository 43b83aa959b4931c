"""Makes text inert for human eyes: what cannot be seen, or deceives, becomes a visible escape ``\\u{XXXX}``.

The mapping is injective: a text that already holds ``\\u{`` has that backslash escaped, so two different
texts never look the same. Based on Unicode Technical Standard 39 (security mechanisms) and on the trojan-
source attack (CVE-2021-42574).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

_BLANK_LOOKING: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f")
# Punctuation that looks like an ASCII operator, quote or separator and has no compatibility mapping to it.
_PUNCTUATION_LOOKALIKES: Final = frozenset(
    "\u01c3\u02b9\u02bc\u02c2\u02c3\u02c6\u02d0\u02f8\u05be\u05c3\u0589\u2010\u2011\u2043\u2044\u2212\u2215\u2216"
    "\u2217\u2223\u2236\u223c\u2758\u27cb\u27cd\u29f5\u29f8\u29f9\ua4fd\ua789\ua78c\u02d7\u06d4\u2cba\u2d3a"
)
_HARMLESS_COMPATIBILITY: Final = frozenset("\u2026\u2122\u00bd\u00bc\u00be\u00b2\u00b3\u00b9\u00ba\u00aa")
_LOOKALIKE_SCRIPTS: Final = (
    "CYRILLIC",
    "GREEK",
    "ARMENIAN",
    "CHEROKEE",
    "COPTIC",
    "LISU",
    "DESERET",
    "OSAGE",
)
# Letters of those scripts that are drawn like a Latin one; a word of nothing else passes for a Latin word.
_LATIN_SHAPED: Final = frozenset(
    "аеорсухіјѕԁԛԝһӏАВЕКМНОРСТУХІЈЅԌԚԜӀҮүвкмнт"  # Cyrillic
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϳονυικρτχϲ"  # Greek
    "օոսհցզաԼՏՍՕ"  # Armenian
)
_MAX_MARKS: Final = 2
_LONG_SPACE: Final = re.compile(r" {24,}")
_WORD: Final = re.compile(r"\w+")


def escape_line(text: str) -> str:
    """Return one line in which every character is what it looks like; line breaks are escaped too."""
    if text.isascii() and text.isprintable():
        return _escape_long_spaces(text.replace("\\u{", "\\u{5C}u{"))
    if not _needs_care(text):
        return _escape_long_spaces(text.replace("\\u{", "\\u{5C}u{"))
    deceptive = _deceptive_positions(text)
    pieces: list[str] = []
    marks = 0
    for position, character in enumerate(text):
        if _kind(character) == _PLAIN:
            escaped = character == "\\" and text.startswith("\\u{", position)
            pieces.append("\\u{5C}" if escaped else character)
            marks = 0
            continue
        marks = (
            marks + 1 if unicodedata.combining(character) or unicodedata.category(character) == "Mn" else 0
        )
        if position in deceptive or marks > _MAX_MARKS or (marks and position == 0) or _is_hidden(character):
            pieces.append(f"\\u{{{ord(character):X}}}")
        else:
            pieces.append(character)
    return _escape_long_spaces("".join(pieces))


def has_hidden_characters(text: str) -> bool:
    """Tell whether a text, line breaks and tabs aside, holds characters that cannot be seen."""
    if _is_plain_ascii(text):
        return False
    return any(_is_hidden(character) for character in set(text) - {"\n", "\t"})


def has_lookalike_characters(text: str) -> bool:
    """Tell whether a text holds letters that pass for others, or mixes writing directions within a line."""
    if _is_plain_ascii(text):
        return False
    return _needs_care(text.replace("\n", "").replace("\t", "")) and any(
        _deceptive_positions(line) for line in text.split("\n")
    )


def _is_plain_ascii(text: str) -> bool:
    """Whether there are only the visible characters of ASCII, spaces, line breaks and tabs."""
    return text.isascii() and text.replace("\n", "").replace("\t", "").isprintable()


# For each code point: not looked at yet, plain, or one that a rule is about. Texts may hold millions of
# characters, and a dictionary of all characters would be large.
_UNKNOWN, _PLAIN, _CARE = 0, 1, 2
_KINDS: Final = bytearray(0x110000)


def _needs_care(text: str) -> bool:
    """Whether any rule may apply; where none does, a text is shown as it is."""
    return any(_kind(character) == _CARE for character in set(text))


def _kind(character: str) -> int:
    point = ord(character)
    known = _KINDS[point]
    if known == _UNKNOWN:
        about = (
            _is_hidden(character)
            or _is_lookalike(character)
            or _is_lookalike_script(character)
            or unicodedata.combining(character)
            or unicodedata.category(character) == "Mn"
            or unicodedata.bidirectional(character) in {"R", "AL", "AN"}
        )
        known = _KINDS[point] = _CARE if about else _PLAIN
    return known


def _escape_long_spaces(text: str) -> str:
    # A long run pushes what follows it out of view; the run's length stays visible.
    return _LONG_SPACE.sub(lambda run: f"\\u{{20*{len(run.group())}}}", text)


@lru_cache(maxsize=65_536)
def _is_hidden(character: str) -> bool:
    if character.isascii():
        return not character.isprintable()
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"}:
        return True
    point = ord(character)
    return character in _BLANK_LOOKING or 0xFE00 <= point <= 0xFE0F or 0xE0100 <= point <= 0xE01EF


def _deceptive_positions(line: str) -> frozenset[int]:
    if line.isascii() or not _needs_care(line):
        return frozenset()
    found = {position for position, character in enumerate(line) if _is_lookalike(character)}
    has_foreign = any(_is_lookalike_script(character) for character in set(line))
    for word in _WORD.finditer(line) if has_foreign else ():
        foreign = [index for index in range(*word.span()) if _is_lookalike_script(line[index])]
        if not foreign:
            continue
        mixed = len(foreign) < sum(line[index].isalpha() for index in range(*word.span()))
        disguised = all(line[index] in _LATIN_SHAPED for index in foreign)
        if mixed or disguised:
            found.update(foreign)
    directions = {unicodedata.bidirectional(character) for character in line}
    if directions & {"R", "AL", "AN"} and directions & {"L", "EN"}:
        found.update(
            position
            for position, character in enumerate(line)
            if unicodedata.bidirectional(character) in {"R", "AL", "AN"}
        )
    return frozenset(found)


@lru_cache(maxsize=65_536)
def _is_lookalike(character: str) -> bool:
    if character.isascii() or character in _HARMLESS_COMPATIBILITY:
        return False
    return character in _PUNCTUATION_LOOKALIKES or unicodedata.normalize("NFKC", character).isascii()


@lru_cache(maxsize=65_536)
def _is_lookalike_script(character: str) -> bool:
    return not character.isascii() and unicodedata.name(character, "").startswith(_LOOKALIKE_SCRIPTS)
