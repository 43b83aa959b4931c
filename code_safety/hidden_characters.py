"""Characters that make text read differently from what it is (Unicode TR36, TR39; CVE-2021-42574)."""

from __future__ import annotations

import re
import unicodedata

from code_safety.findings import Finding, Place, Rule, Severity
from code_safety.inspection import MAX_FINDINGS_PER_RULE

_BIDIRECTIONAL_CONTROLS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_ORDINARY_CONTROLS = frozenset("\t\n\r\f")
_ONLY_ORDINARY = re.compile(r"[\t\n\r\f -~]*\Z")


def find_hidden_characters(text: str, *, where: str = "code") -> tuple[Finding, ...]:
    """Bidirectional controls, invisible characters and unusual control characters, each with its place.

    At most MAX_FINDINGS_PER_RULE of a kind are reported.
    """
    if _ONLY_ORDINARY.match(text):
        return ()
    hidden = {
        character: classified for character in set(text) if (classified := _classify(character)) is not None
    }
    if not hidden:
        return ()
    counts: dict[Rule, int] = {}
    found: list[Finding] = []
    for line_number, line in enumerate(text.split("\n"), start=1):
        for column, character in enumerate(line, start=1):
            classified = hidden.get(character)
            if classified is None:
                continue
            rule, severity, description = classified
            counts[rule] = counts.get(rule, 0) + 1
            if counts[rule] <= MAX_FINDINGS_PER_RULE:
                message = f"{description} U+{ord(character):04X}"
                place = Place(where, line_number, column, line_number, column + 1)
                found.append(Finding(rule, severity, message, place))
    return tuple(found)


def _classify(character: str) -> tuple[Rule, Severity, str] | None:
    if character in _ORDINARY_CONTROLS or " " <= character <= "~":
        return None
    if character in _BIDIRECTIONAL_CONTROLS:
        return Rule.BIDIRECTIONAL_CONTROL, Severity.HIGH, "bidirectional control character"
    category = unicodedata.category(character)
    if category == "Cc":
        return Rule.CONTROL_CHARACTER, Severity.MEDIUM, "control character"
    if category == "Cf" or character in _BLANK_LETTERS or _is_variation_selector(character):
        return Rule.INVISIBLE_CHARACTER, Severity.MEDIUM, "invisible character"
    return None


def _is_variation_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
