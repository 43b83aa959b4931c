"""Short ways to analyse in tests."""

from __future__ import annotations

from code_safety.analysis import analyse
from code_safety.findings import Analysis, Severity
from hitl_contract.action import parse_action


def analysed(code: str, language: str = "python", **fields: object) -> Analysis:
    """The analysis of a program."""
    return analyse(parse_action({"type": "code_execution", "language": language, "code": code, **fields}))


def rules(analysis: Analysis, at_least: Severity = Severity.LOW) -> set[str]:
    """The names of the rules that found something."""
    return {found.rule.value for found in analysis.findings if found.severity.rank >= at_least.rank}
