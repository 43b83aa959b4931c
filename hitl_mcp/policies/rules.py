"""Rules as they are evaluated: compiled, checked, in their order."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal

from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.terms import RuleVerdict, Terms
from hitl_mcp.policies.conditions import Condition
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

    def opens(self, level: RiskLevel) -> bool:
        """Whether this asking rule names a level itself, and so lifts the threshold that blocks it."""
        return self.stated.risk is not None and level in self.stated.risk


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

    @cached_property
    def denying(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.verdict is RuleVerdict.DENY)

    @cached_property
    def others(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.verdict is not RuleVerdict.DENY)

    @cached_property
    def uses_findings(self) -> bool:
        return any(
            rule.match.uses_findings
            or (rule.auto_approval is not None and rule.auto_approval.condition.uses_findings)
            for rule in self.rules
        )
