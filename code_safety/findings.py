"""What static analysis can say about an action before anybody carries it out."""

from __future__ import annotations

from dataclasses import dataclass

from code_safety.rules import Rule, means_unknown
from code_safety.severity import Severity, worst

__all__ = ["Analysis", "Finding", "Place", "Rule", "Severity"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in an action: `where` is a path into it (`code`, `files[1]`, `argv[2]`, `arguments.query`).

    Lines and columns count characters from 1 within that text; `end_column` is the first one behind. None
    where the whole text is meant.
    """

    where: str = "code"
    line: int | None = None
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation, in plain words. The message never quotes the action; the place says where to look."""

    rule: Rule
    severity: Severity
    message: str
    place: Place = Place()

    @property
    def unknown(self) -> bool:
        """Whether it says that a question has no answer. That is never good news."""
        return means_unknown(self.rule)

    @property
    def where(self) -> str:
        return self.place.where

    @property
    def line(self) -> int | None:
        return self.place.line

    @property
    def column(self) -> int | None:
        return self.place.column


@dataclass(frozen=True, slots=True)
class Analysis:
    """All findings about one action, in the order of their places.

    `level` is the worst of them, at least HIGH or MEDIUM where something is unknown, so that nobody who reads
    the level alone takes "not known" for "fine".
    """

    findings: tuple[Finding, ...]

    @property
    def level(self) -> Severity:
        return worst([finding.severity for finding in self.findings])

    @property
    def unknown(self) -> tuple[Finding, ...]:
        """What could not be answered."""
        return tuple(finding for finding in self.findings if finding.unknown)

    @property
    def complete(self) -> bool:
        """Whether every question had an answer."""
        return not self.unknown
