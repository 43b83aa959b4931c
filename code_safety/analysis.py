"""Static analysis of an Action: what both servers ask before a person decides and before anything runs."""

from __future__ import annotations

from typing import Protocol

from code_safety.actions import inspect_action
from code_safety.findings import Analysis, Finding, Rule
from code_safety.inspection import Inspection
from code_safety.languages import ANALYSERS, MAX_ANALYSED_CHARACTERS, warm_up
from hitl_contract.action import Action

__all__ = ["MAX_ANALYSED_CHARACTERS", "BuiltInStaticAnalysis", "StaticAnalysis", "analyse", "warm_up"]


class StaticAnalysis(Protocol):
    """Answers what is known about an action without carrying it out.

    Pure: the same action has the same findings.
    """

    def findings(self, action: Action) -> tuple[Finding, ...]: ...


def analyse(action: Action) -> Analysis:
    """Analyse an action of any type. Never raises: what fails is unknown.

    A program of ten lines takes under a millisecond once `warm_up` was called. Actions of more than about
    20 KB belong in a thread.
    """
    inspection = Inspection(ANALYSERS, where="action")
    try:
        inspect_action(action, inspection)
    except Exception:
        # Hostile input decides what happens here; without an answer nothing is known, which is an answer.
        inspection.add(Rule.ANALYSIS_FAILED)
    return Analysis(inspection.findings)


class BuiltInStaticAnalysis:
    """The analysis of this package behind the protocol."""

    def analyse(self, action: Action) -> Analysis:
        return analyse(action)

    def findings(self, action: Action) -> tuple[Finding, ...]:
        return analyse(action).findings
