"""Characters that make text read differently from what it is (Unicode TR36, TR39; CVE-2021-42574)."""

from __future__ import annotations

import unicodedata

from code_safety.findings import Finding, Rule, Severity

MAX_FINDINGS_PER_RULE = 20

_BIDIRECTIONAL_CONTROLS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_ORDINARY_CONTROLS = frozenset("\t\n\r\f")


def find_hidden_characters(text: str, *, where: str = "code") -> tuple[Finding, ...]:
    """Bidirectional controls, invisible characters and unusual control characters, each with its place.

    At most MAX_FINDINGS_PER_RULE of a kind are reported.
    """
    if text.isascii() and text.isprintable():
        return ()
    counts: dict[Rule, int] = {}
    found: list[Finding] = []
    for line_number, line in enumerate(text.split("\n"), start=1):
        for column, character in enumerate(line, start=1):
            classified = _classify(character)
            if classified is None:
                continue
            rule, severity, description = classified
            counts[rule] = counts.get(rule, 0) + 1
            if counts[rule] <= MAX_FINDINGS_PER_RULE:
                message = f"{description} U+{ord(character):04X}"
                found.append(Finding(rule, severity, message, where=where, line=line_number, column=column))
    return tuple(found)


def _classify(character: str) -> tuple[Rule, Severity, str] | None:
    if character in _ORDINARY_CONTROLS or " " <= character <= "~":
        return None
    if character in _BIDIRECTIONAL_CONTROLS:
        return Rule.BIDIRECTIONAL_CONTROL, Severity.DANGER, "bidirectional control character"
    category = unicodedata.category(character)
    if category == "Cc":
        return Rule.CONTROL_CHARACTER, Severity.WARNING, "control character"
    if category == "Cf" or character in _BLANK_LETTERS or _is_variation_selector(character):
        return Rule.INVISIBLE_CHARACTER, Severity.WARNING, "invisible character"
    return None


def _is_variation_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
