"""One analysis under way: its findings so far, and what is left of its budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from code_safety.descriptions import DESCRIPTIONS
from code_safety.findings import Finding, Place, Rule, Severity

MAX_FINDINGS_PER_RULE: Final = 20
"""Most findings of one rule and severity that are kept."""

MAX_DEPTH: Final = 5
"""Programs within programs (a script in a string in a script) are followed so far."""

MAX_EMBEDDED_CHARACTERS: Final = 200_000
"""Characters of programs within programs that are read in one analysis."""

Analyser = Callable[[str, "Inspection"], None]


@dataclass(slots=True)
class _Collected:
    findings: dict[Finding, None] = field(default_factory=dict[Finding, None])
    counts: dict[tuple[Rule, Severity], int] = field(default_factory=dict[tuple[Rule, Severity], int])
    embedded: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    embedded_characters: int = 0


class Inspection:
    """Collects findings, and hands texts that are programs of another language to their analyser.

    `analysers` maps a language to its analyser: languages hold each other's programs in strings, and none of
    the analysers knows another one.
    """

    def __init__(self, analysers: Mapping[str, Analyser], where: str = "code") -> None:
        self._analysers = analysers
        self._where = where
        self._fixed: Place | None = None
        self._depth = 0
        self._collected = _Collected()

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(sorted(self._collected.findings, key=_order))

    @property
    def analysers(self) -> Mapping[str, Analyser]:
        """The analysers, for a part that is judged apart."""
        return self._analysers

    @property
    def unknown(self) -> bool:
        """Whether anything so far could not be answered."""
        return any(finding.unknown for finding in self._collected.findings)

    @property
    def nested(self) -> bool:
        """Whether this reads a program within another one."""
        return self._depth > 0

    def place(
        self,
        line: int | None = None,
        column: int | None = None,
        end_line: int | None = None,
        end_column: int | None = None,
    ) -> Place:
        """A place in the text at hand; for a program within a string, the place of that string."""
        return self._fixed or Place(self._where, line, column, end_line, end_column)

    def add(
        self, rule: Rule, place: Place | None = None, severity: Severity | None = None, detail: str = ""
    ) -> None:
        """Record a finding. `detail` is put in brackets and is never taken from the program."""
        usual, sentence = DESCRIPTIONS[rule]
        kept = severity or usual
        message = f"{sentence} ({detail})" if detail else sentence
        finding = Finding(rule, kept, message, self._fixed or place or self.place())
        self.keep(finding)

    def keep(self, finding: Finding) -> None:
        """Record a finding made elsewhere; too many of one kind are left out."""
        collected = self._collected
        if finding in collected.findings:
            return
        kind = (finding.rule, finding.severity)
        collected.counts[kind] = collected.counts.get(kind, 0) + 1
        if collected.counts[kind] <= MAX_FINDINGS_PER_RULE:
            collected.findings[finding] = None

    def embedded(self, language: str, text: str, place: Place) -> None:
        """Analyse `text` as a program in `language` that the program at hand would run."""
        collected = self._collected
        if (language, text) in collected.embedded or not text.strip():
            return
        collected.embedded.add((language, text))
        collected.embedded_characters += len(text)
        analyser = self._analysers.get(language)
        if self._depth >= MAX_DEPTH or collected.embedded_characters > MAX_EMBEDDED_CHARACTERS:
            self.add(Rule.NOT_ANALYSED_TOO_COMPLEX, place)
        elif analyser is None:
            self.add(Rule.NOT_ANALYSED, place, severity=Severity.HIGH)
        else:
            analyser(text, self._within(place))

    def at(self, where: str) -> Inspection:
        """The same analysis, about another part of the action."""
        other = self._share()
        other._where = where
        return other

    def _within(self, place: Place) -> Inspection:
        inner = self._share()
        inner._fixed = self._fixed or place
        inner._depth = self._depth + 1
        return inner

    def _share(self) -> Inspection:
        other = Inspection(self._analysers, self._where)
        other._fixed = self._fixed
        other._depth = self._depth
        other._collected = self._collected
        return other


def _order(finding: Finding) -> tuple[str, int, int, str, int, str]:
    place = finding.place
    return (
        place.where,
        place.line or 0,
        place.column or 0,
        finding.rule.value,
        -finding.severity.rank,
        finding.message,
    )
