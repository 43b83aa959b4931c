"""Rules, requests and people for the tests of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from textwrap import dedent
from typing import Any

import pytest

from code_safety.findings import Finding
from hitl_contract.action import parse_action
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.terms import AgentFacts, RiskAssessment, RiskVote, Ruling
from hitl_mcp.policies.counting import Counter, NothingCounted
from hitl_mcp.policies.errors import PolicyRefused
from hitl_mcp.policies.evaluator import Evaluator
from hitl_mcp.policies.loading import load_rules
from hitl_mcp.policies.people import KnownPeople
from hitl_mcp.policies.rules import RuleSet
from hitl_mcp.policies.subject import Subject

NOW = datetime(2030, 1, 2, 12, 0, tzinfo=UTC)
"""A Wednesday at noon."""

PEOPLE = KnownPeople.of(
    {
        "approver": ("ada", "bob", "cleo", "dan"),
        "admin": ("ada",),
        "security": ("ada", "bob"),
        "platform": ("bob", "cleo", "dan"),
    },
    ("ada", "bob", "cleo", "dan", "eve"),
)


def rules(text: str, *, people: KnownPeople = PEOPLE, **others: str) -> RuleSet:
    """The rules of `a.yaml`, and of further files by keyword."""
    texts = {"a.yaml": dedent(text)} | {f"{name}.yaml": dedent(each) for name, each in others.items()}
    return load_rules(texts, people, NOW)


def refusals(text: str, *, people: KnownPeople = PEOPLE, **others: str) -> list[str]:
    """What loading says against these files."""
    with pytest.raises(PolicyRefused) as refused:
        rules(text, people=people, **others)
    return [str(problem) for problem in refused.value.problems]


def action(kind: str = "code_execution", **fields: Any) -> dict[str, Any]:
    defaults: dict[str, dict[str, Any]] = {
        "code_execution": {"language": "python", "code": "print(6 * 7)"},
        "package_addition": {"language": "python", "packages": ["requests==2.32.3"]},
        "shell_command": {"argv": ["ls", "-l"]},
        "tool_call": {"server": "github", "tool": "get_issue"},
        "http_request": {"method": "GET", "url": "https://api.example.com/v1"},
        "file_change": {"path": "docs/guide.md", "diff": "+a line"},
        "generic": {"operation": "order.read"},
    }
    return {"type": kind, **defaults[kind], **fields}


def assessed(level: str, *assessors: str) -> RiskAssessment:
    voters = assessors or ("static analysis",)
    return RiskAssessment(RiskLevel(level), tuple(RiskVote(name, RiskLevel(level), "") for name in voters))


def subject(
    what: dict[str, Any] | None = None,
    *,
    risk: str | RiskAssessment = "low",
    agent: AgentFacts | None = None,
    now: datetime = NOW,
    justification: str = "to know the answer",
    findings: Sequence[Finding] | None = None,
) -> Subject:
    return Subject(
        agent or AgentFacts("builder"),
        Submission(parse_action(what or action()), justification),
        assessed(risk) if isinstance(risk, str) else risk,
        now,
        findings,
    )


def ruled(given: RuleSet, about: Subject | None = None, counter: Counter | None = None) -> Ruling:
    """What the rules say about a subject."""
    about = about or subject()
    evaluator = Evaluator(counter or NothingCounted())
    return asyncio.run(evaluator.evaluate(given, about.agent, about.submission, about.risk, about.now))
