"""The findings of static analysis, for conditions that name `findings`."""

from __future__ import annotations

from collections.abc import Sequence

from code_safety.findings import Finding
from hitl_contract.action import Action


class StaticFindings:
    """Implements `evaluator.FindingsSource`."""

    def findings(self, action: Action) -> Sequence[Finding]:
        # The analysers and their grammars take long to import, which only rules that name findings need.
        from code_safety.analysis import analyse

        return analyse(action).findings
