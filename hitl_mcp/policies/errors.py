"""What can be wrong with rules."""

from __future__ import annotations

from dataclasses import dataclass

from server_kit.errors import ConfigurationError


@dataclass(frozen=True, slots=True, order=True)
class PolicyProblem:
    """One mistake in a rules file: where it stands, in which field, and what is wrong with which value."""

    file: str
    line: int
    field: str
    reason: str

    def __str__(self) -> str:
        field = f"{self.field} " if self.field else ""
        return f"{self.file}:{self.line}: {field}{self.reason}"


class PolicyRefused(ConfigurationError):
    """Rules that cannot be used. The message is one line: the first mistake, and how many more there are."""

    def __init__(self, problems: tuple[PolicyProblem, ...]) -> None:
        more = len(problems) - 1
        also = f" (and {more} more; `hitl policy check` names all)" if more else ""
        super().__init__(f"the rules are refused: {problems[0]}{also}")
        self.problems = problems


class ConditionRefused(ValueError):
    """A condition that is no CEL, that names what does not exist, or whose value is not true or false."""
