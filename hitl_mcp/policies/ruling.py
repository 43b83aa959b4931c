"""From the rule that decides to what it says: thresholds, justification, rate and fatigue applied. Pure.

The checklist of what ends in an approval that nobody gave, each number where it is checked:

1. A rule says `allow`, or an asking rule's `auto_approve` holds for certain.
2. The risk is at most `thresholds.automatic`.
3. Somebody else than the agent assessed the risk.
4. The justification is as long as the rule wants it.
5. The agent has not asked more often under this rule than its `rate_limit` allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.approvals.terms import RiskAssessment, RuleVerdict, Ruling, Terms
from hitl_mcp.policies.conditions import Truth
from hitl_mcp.policies.evaluation import Choice
from hitl_mcp.policies.rules import AskTerms, Rule, RuleSet
from hitl_mcp.policies.subject import Subject

NO_RULE: Final = "ask-one-approver"
BLOCKED: Final = "blocked-by-risk"
NOT_EVALUATED: Final = "rules-not-evaluated"
CLAIM: Final = "claim"
"""The assessor that is the agent's own word."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted for this request. `recent_requests` of the agent under the rule that decides, and
    `busiest_approver`, the most approvals by one person, both in the last hour."""

    recent_requests: int = 0
    busiest_approver: int = 0


def rule_on(rules: RuleSet, choice: Choice, subject: Subject, counts: Counts) -> Ruling:
    """What the chosen rule says about the subject."""
    rule, level = choice.rule, subject.risk.level
    if rule is None:
        if rules.thresholds.blocks(level):
            return _blocked(subject, "no rule opens it")
        return _ask(
            rules, subject, AskTerms(), counts, NO_RULE, "No rule is about this, so people are asked."
        )
    why = _why(choice, rule)
    if rule.verdict is RuleVerdict.DENY:
        return _deny(subject, rule.name, why)
    if rules.thresholds.blocks(level) and not rule.opens(rules.thresholds):
        return _blocked(subject, f"the rule {rule.name} does not open it")
    short = _short_justification(rule, subject)
    if short is not None:
        return _deny(subject, rule.name, short)
    over = rule.rate_limit is not None and counts.recent_requests >= rule.rate_limit.requests_per_hour
    if over and rule.rate_limit is not None:
        limit = f"the agent asked {counts.recent_requests} times under it within an hour"
        limit += f", and {rule.rate_limit.requests_per_hour} are allowed"
        if rule.rate_limit.then == "deny":
            return _deny(subject, rule.name, f"{why} It denies, because {limit}; ask again later.")
        return _ask(rules, subject, rule.ask, counts, rule.name, f"{why} It asks, because {limit}.")
    hindrance = _hindrance(rules, choice, rule, subject)
    if hindrance is None:
        return Ruling(rule.name, RuleVerdict.ALLOW, subject.risk, Terms(stages=()), why)
    return _ask(rules, subject, rule.ask, counts, rule.name, f"{why}{hindrance}")


def failed(rules: RuleSet, rule: Rule | None, subject: Subject) -> Ruling:
    """What holds when evaluating broke down: nobody is approved by that."""
    if rule is not None and rule.verdict is RuleVerdict.DENY:
        return _deny(subject, rule.name, f"The rule {rule.name} could not be evaluated, and it denies.")
    explanation = "The rules could not be evaluated, so people are asked."
    return _ask(rules, subject, AskTerms(assurance=Assurance.SESSION), Counts(), NOT_EVALUATED, explanation)


def assessed_by_others(risk: RiskAssessment) -> bool:
    """Whether somebody else than the agent says how risky it is. A level without votes was given as such."""
    stated = [vote.assessor for vote in risk.votes if vote.level is not None]
    return not risk.votes or any(assessor != CLAIM for assessor in stated)


def _hindrance(rules: RuleSet, choice: Choice, rule: Rule, subject: Subject) -> str | None:
    """Why this is not approved without asking; None when it is."""
    level = subject.risk.level
    # 1
    if rule.verdict is RuleVerdict.ASK:
        auto = rule.auto_approval
        if auto is None or choice.in_doubt:
            return ""
        if level.rank > auto.risk.rank:
            return f" It approves by itself up to {auto.risk} risk only."
        if auto.condition.evaluate(subject.variables) is not Truth.TRUE:
            return " Its condition for approving by itself does not hold."
    # 2
    if not rules.thresholds.may_be_automatic(level):
        return f" It asks, because {level} risk is never approved without asking."
    # 3
    if not assessed_by_others(subject.risk):
        return " It asks, because nobody but the agent has assessed the risk."
    # 4 and 5 were checked before.
    return None


def _short_justification(rule: Rule, subject: Subject) -> str | None:
    needed, has = rule.minimum_justification, len(subject.submission.justification.strip())
    if needed is None or has >= needed:
        return None
    return (
        f"The rule {rule.name} wants a justification of at least {needed} characters; this one has {has}. "
        "Say why it should be done and ask again."
    )


def _ask(
    rules: RuleSet, subject: Subject, asking: AskTerms, counts: Counts, name: str, explanation: str
) -> Ruling:
    level = subject.risk.level
    assurance = max((asking.assurance or Assurance.CHAT, _least_assurance(level)), key=lambda each: each.rank)
    fatigue = rules.fatigue
    if fatigue is not None and counts.busiest_approver >= fatigue.approvals_per_person_per_hour:
        assurance = max(assurance, Assurance.SESSION, key=lambda each: each.rank)
        explanation += " Somebody has approved very often within an hour, so a chat is not enough."
    excluded = asking.terms.excluded
    if asking.excludes_owner and subject.agent.owner is not None:
        excluded = tuple(dict.fromkeys((*excluded, person_key(subject.agent.owner))))
    terms = replace(asking.terms, required_assurance=assurance, excluded=excluded)
    return Ruling(name, RuleVerdict.ASK, subject.risk, terms, explanation)


def _least_assurance(level: RiskLevel) -> Assurance:
    """A chat approves low and medium risk."""
    return Assurance.SESSION if level.rank >= RiskLevel.HIGH.rank else Assurance.CHAT


def _blocked(subject: Subject, detail: str) -> Ruling:
    return _deny(
        subject,
        BLOCKED,
        f"Actions of {subject.risk.level} risk are blocked, and {detail}.",
    )


def _deny(subject: Subject, name: str, explanation: str) -> Ruling:
    return Ruling(name, RuleVerdict.DENY, subject.risk, Terms(stages=()), explanation)


def _why(choice: Choice, rule: Rule) -> str:
    because = f": {rule.because.rstrip('.')}" if rule.because else ""
    why = f"The rule {rule.name} applies{because}."
    if choice.in_doubt:
        why += " Its condition could not be decided, and doubt never allows."
    if choice.overruled is not None:
        why += f" It stands before the rule {choice.overruled.name}."
    return why
