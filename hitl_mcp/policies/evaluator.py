"""Evaluates a set of rules about one request, with what has to be looked up for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from code_safety.findings import Finding
from hitl_contract.action import Action
from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.terms import AgentFacts, RiskAssessment, Ruling
from hitl_mcp.policies.counting import WINDOW, Counter
from hitl_mcp.policies.evaluation import Choice, choose
from hitl_mcp.policies.rules import RuleSet
from hitl_mcp.policies.ruling import Counts, failed, rule_on
from hitl_mcp.policies.subject import Subject


class FindingsSource(Protocol):
    """Implemented by `code_safety`'s static analysis."""

    def findings(self, action: Action) -> Sequence[Finding]: ...


class Evaluator:
    """Never raises and never approves by an error: see `ruling.failed`."""

    def __init__(self, counter: Counter, findings: FindingsSource | None = None) -> None:
        self._counter = counter
        self._findings = findings

    async def evaluate(
        self, rules: RuleSet, agent: AgentFacts, submission: Submission, risk: RiskAssessment, now: datetime
    ) -> Ruling:
        """What the rules say at `now`."""
        subject = Subject(agent, submission, risk, now)
        choice = Choice(None)
        try:
            if rules.uses_findings and self._findings is not None:
                found = await self._analysed(submission.action)
                subject = Subject(agent, submission, risk, now, found)
            choice = choose(rules, subject)
            return rule_on(rules, choice, subject, await self._counts(rules, choice, subject))
        except Exception:
            return failed(rules, choice.rule, subject)

    async def _analysed(self, action: Action) -> Sequence[Finding] | None:
        source = self._findings
        try:
            # Taking a program apart takes long enough that everybody else would wait.
            return None if source is None else await asyncio.to_thread(source.findings, action)
        except Exception:
            return None

    async def _counts(self, rules: RuleSet, choice: Choice, subject: Subject) -> Counts:
        """A count that cannot be had is over every limit."""
        since = subject.now - WINDOW
        recent = busiest = 0
        limit = None if choice.rule is None else choice.rule.rate_limit
        if choice.rule is not None and limit is not None:
            most = limit.requests_per_hour
            try:
                recent = await self._counter.requests(
                    subject.agent.name, choice.rule.name, since=since, most=most
                )
            except Exception:
                recent = most
        if rules.fatigue is not None:
            most = rules.fatigue.approvals_per_person_per_hour
            try:
                busiest = await self._counter.busiest_approver(since=since)
            except Exception:
                busiest = most
        return Counts(recent, busiest)
