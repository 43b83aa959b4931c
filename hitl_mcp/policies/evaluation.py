"""Which rule decides: pure.

In this order, and nowhere else:

1. A `deny` rule that matches, in whatever file and at whatever place, decides; the first one gives the name.
2. Of the other rules, the first that matches for certain decides.
3. An `ask` rule before it whose condition could not be decided takes its place when it asks for more: when
   the certain rule allows, or there is none, or its terms are weaker. A `deny` rule in doubt counts as
   matching in step 1, an `allow` rule in doubt as not matching.
4. When no rule decides, one approver is asked.

Rules outside of their `valid_from` and `valid_until` do not exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hitl_mcp.approvals.levels import Assurance
from hitl_mcp.approvals.terms import RuleVerdict
from hitl_mcp.policies.matching import Matched
from hitl_mcp.policies.rules import Rule, RuleSet
from hitl_mcp.policies.subject import Subject


@dataclass(frozen=True, slots=True)
class Choice:
    """The rule that decides, None when none does. `in_doubt`: its own condition could not be decided.

    `overruled` is the rule that would have decided otherwise, for the explanation.
    """

    rule: Rule | None
    in_doubt: bool = False
    overruled: Rule | None = None


def choose(rules: RuleSet, subject: Subject) -> Choice:
    """Which rule decides about the subject. Never raises for a broken condition."""
    denying = next(_matching(rules, subject, denying=True), None)
    if denying is not None:
        rule, matched = denying
        return Choice(rule, in_doubt=matched is Matched.UNKNOWN)
    doubtful: list[Rule] = []
    for rule, matched in _matching(rules, subject, denying=False):
        if matched is Matched.YES:
            return _weighed(rule, doubtful)
        doubtful.append(rule)
    return _weighed(None, doubtful)


def strictness(rule: Rule) -> tuple[int, int, int, int]:
    """How much an asking rule asks for: people, stages, assurance, time to review. Larger is stricter."""
    terms, assurance = rule.ask.terms, rule.ask.assurance or Assurance.CHAT
    return (terms.required_approvals, len(terms.stages), assurance.rank, terms.minimum_review_seconds)


def _weighed(certain: Rule | None, doubtful: list[Rule]) -> Choice:
    if not doubtful:
        return Choice(certain)
    strictest = max(doubtful, key=strictness)
    asks = certain is not None and certain.verdict is RuleVerdict.ASK
    if certain is not None and asks and strictness(certain) >= strictness(strictest):
        return Choice(certain)
    return Choice(strictest, in_doubt=True, overruled=certain)


def _matching(rules: RuleSet, subject: Subject, *, denying: bool) -> Iterator[tuple[Rule, Matched]]:
    for rule in (rules.denying if denying else rules.others)(subject.action.type):
        if not rule.in_force(subject.now):
            continue
        matched = _matched(rule, subject)
        if matched is Matched.YES or (matched is Matched.UNKNOWN and rule.verdict is not RuleVerdict.ALLOW):
            yield rule, matched


def _matched(rule: Rule, subject: Subject) -> Matched:
    try:
        return rule.match.holds(subject)
    except Exception:
        # An error is never a decision: whatever it was, the rule is in doubt.
        return Matched.UNKNOWN
