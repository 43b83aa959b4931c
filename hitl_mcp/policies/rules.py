"""Rules as they are evaluated: compiled, checked, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal

from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.terms import RuleVerdict, Terms
from hitl_mcp.policies.conditions import ACTION_FIELDS, Condition
from hitl_mcp.policies.documents import FatigueDocument, MatchDocument, RuleDocument
from hitl_mcp.policies.matching import Match

AGENT_OWNER = "agent_owner"
"""Stands in `exclude` for the person who is responsible for the requesting agent."""


@dataclass(frozen=True, slots=True)
class AskTerms:
    """The terms of an asking rule. `excludes_owner`: whoever owns the agent does not count.

    `assurance` is what the rule states; the terms of a ruling never ask for less than its risk does.
    """

    terms: Terms = field(default_factory=Terms)
    assurance: Assurance | None = None
    excludes_owner: bool = False


@dataclass(frozen=True, slots=True)
class AutoApproval:
    condition: Condition
    risk: RiskLevel


@dataclass(frozen=True, slots=True)
class RateLimit:
    """More than `requests_per_hour` requests of one agent under one rule within an hour mean `then`."""

    requests_per_hour: int
    then: Literal["ask", "deny"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`file` and `line` are where it is written; `document` is what it was made from."""

    name: str
    file: str
    line: int
    verdict: RuleVerdict
    match: Match
    document: RuleDocument
    ask: AskTerms = field(default_factory=AskTerms)
    auto_approval: AutoApproval | None = None
    rate_limit: RateLimit | None = None
    minimum_justification: int | None = None
    because: str | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    @property
    def stated(self) -> MatchDocument:
        return self.document.match

    def in_force(self, now: datetime) -> bool:
        return not (
            (self.valid_from is not None and now < self.valid_from)
            or (self.valid_until is not None and now >= self.valid_until)
        )

    def opens(self, thresholds: Thresholds) -> bool:
        """Whether this asking rule is about blocked levels and nothing else, and so lifts the threshold.

        A range that happens to reach so far opens nothing.
        """
        levels = self.stated.risk
        asks = self.verdict is RuleVerdict.ASK
        return asks and levels is not None and all(thresholds.blocks(level) for level in levels)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`automatic` is the highest level that may be allowed without asking (None: none), `blocked` the lowest
    that is denied unless an asking rule names it (None: none)."""

    automatic: RiskLevel | None = RiskLevel.LOW
    blocked: RiskLevel | None = None

    def may_be_automatic(self, level: RiskLevel) -> bool:
        return self.automatic is not None and level.rank <= self.automatic.rank

    def blocks(self, level: RiskLevel) -> bool:
        return self.blocked is not None and level.rank >= self.blocked.rank


@dataclass(frozen=True)
class RuleSet:
    """All rules, in order: files by name, rules as they stand in them. Disabled ones are left out."""

    rules: tuple[Rule, ...] = ()
    thresholds: Thresholds = field(default_factory=Thresholds)
    fatigue: FatigueDocument | None = None

    def denying(self, action_type: str) -> tuple[Rule, ...]:
        """The denying rules that can be about actions of this type, in order."""
        return self._by_type[action_type][0]

    def others(self, action_type: str) -> tuple[Rule, ...]:
        """The allowing and asking rules that can be about actions of this type, in order."""
        return self._by_type[action_type][1]

    @cached_property
    def _by_type(self) -> Mapping[str, tuple[tuple[Rule, ...], tuple[Rule, ...]]]:
        found: dict[str, tuple[tuple[Rule, ...], tuple[Rule, ...]]] = {}
        for action_type in ACTION_FIELDS:
            about = [rule for rule in self.rules if action_type in (rule.stated.action or ACTION_FIELDS)]
            denying = tuple(rule for rule in about if rule.verdict is RuleVerdict.DENY)
            found[action_type] = (
                denying,
                tuple(rule for rule in about if rule.verdict is not RuleVerdict.DENY),
            )
        return found

    @cached_property
    def uses_findings(self) -> bool:
        return any(
            rule.match.uses_findings
            or (rule.auto_approval is not None and rule.auto_approval.condition.uses_findings)
            for rule in self.rules
        )
