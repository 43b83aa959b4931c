"""Static analysis of an Action: what both servers ask before a person decides and before anything runs."""

from __future__ import annotations

from typing import Protocol

from code_safety.findings import Finding, Rule, Severity
from code_safety.hidden_characters import find_hidden_characters
from code_safety.python_code import analyse_python
from code_safety.source_encoding import find_source_encodings
from hitl_contract.action import Action, CodeExecution

MAX_ANALYSED_CHARACTERS = 200_000


class StaticAnalysis(Protocol):
    """Answers what is known about an action without running it.

    Pure: the same action has the same findings.
    """

    def findings(self, action: Action) -> tuple[Finding, ...]: ...


class BuiltInStaticAnalysis:
    """Hidden characters in every language; syntax and named patterns in Python.

    The rest is said to be unknown.
    """

    def findings(self, action: Action) -> tuple[Finding, ...]:
        if not isinstance(action, CodeExecution):
            return (_unknown(Rule.NOT_ANALYSED, f"no analysis exists for actions of type {action.type}"),)
        encodings = find_source_encodings(action)
        if len(action.code) > MAX_ANALYSED_CHARACTERS:
            message = f"longer than {MAX_ANALYSED_CHARACTERS:,} characters: nothing is known about it"
            return (*encodings, _unknown(Rule.NOT_ANALYSED_TOO_LARGE, message))
        hidden = find_hidden_characters(action.code)
        paths = tuple(
            finding
            for file in action.files
            for finding in find_hidden_characters(file.path, where="files.path")
        )
        if action.language == "python":
            return (*encodings, *hidden, *paths, *analyse_python(action.code))
        message = f"beyond hidden characters nothing is known about programs in {action.language}"
        return (*encodings, *hidden, *paths, _unknown(Rule.NOT_ANALYSED, message))


def _unknown(rule: Rule, message: str) -> Finding:
    return Finding(rule, Severity.UNKNOWN, message)
