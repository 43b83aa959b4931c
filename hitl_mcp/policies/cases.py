"""Tables of cases: what the rules should say about which action. They are run by `hitl policy test`."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, JsonValue

from hitl_contract.action import Action, parse_action
from hitl_contract.errors import InvalidAction
from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.ports import RiskAssessor
from hitl_mcp.approvals.terms import AgentFacts, RiskAssessment, RiskVote, RuleVerdict, Ruling
from hitl_mcp.policies.errors import PolicyProblem, PolicyRefused
from hitl_mcp.policies.evaluator import Evaluator
from hitl_mcp.policies.fields import Level, Moment, Names, RuleModel, Text
from hitl_mcp.policies.parsing import validated
from hitl_mcp.policies.places import read_document
from hitl_mcp.policies.rules import RuleSet


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class AgentDocument(RuleModel):
    """The agent of a case; a name alone is enough."""

    name: Annotated[str, Field(min_length=1, max_length=64)] = "agent"
    roles: Names = ()
    environment: Annotated[str, Field(min_length=1, max_length=64)] = "default"
    trusted: bool = False
    owner: Annotated[str | None, Field(max_length=64)] = None


class ExpectationDocument(RuleModel):
    """What should come out; what is left out does not matter."""

    verdict: Annotated[RuleVerdict, Field(strict=False)]
    rule: Annotated[str | None, Field(max_length=100)] = None
    approvals: Annotated[int | None, Field(ge=0)] = None
    assurance: Annotated[Assurance | None, Field(strict=False)] = None


class CaseDocument(RuleModel):
    """One case. Without `risk` it is assessed, without `at` it is now."""

    name: Text
    action: dict[str, JsonValue]
    agent: Annotated[AgentDocument, BeforeValidator(_named)] = AgentDocument()
    risk: Level | None = None
    claim: Level | None = None
    justification: str = "A case of a table."
    at: Moment | None = None
    expect: ExpectationDocument


class CasesDocument(RuleModel):
    """A file of cases. `rules` is a directory, from where the file is."""

    rules: str | None = None
    cases: Annotated[tuple[CaseDocument, ...], Field(strict=False, min_length=1, max_length=10_000)]


@dataclass(frozen=True, slots=True)
class Case:
    document: CaseDocument
    action: Action
    line: int


@dataclass(frozen=True, slots=True)
class CaseTable:
    rules: str | None
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case went. `problems` says what came out otherwise than expected; empty when it passed."""

    case: Case
    ruling: Ruling
    problems: tuple[str, ...]


def read_cases(text: str, file: str) -> CaseTable:
    """
    Raises:
        PolicyRefused: with every mistake, and its line.
    """
    placed = read_document(text, file)
    document = validated(CasesDocument, placed, "cases")
    cases: list[Case] = []
    problems: list[PolicyProblem] = []
    for index, each in enumerate(document.cases):
        try:
            cases.append(Case(each, parse_action(each.action), placed.line_of(("cases", index))))
        except InvalidAction as error:
            problems.extend(
                placed.problem(("cases", index, "action", *problem.field.split(".")), problem.message)
                for problem in error.problems
            )
    if problems:
        raise PolicyRefused(tuple(problems))
    return CaseTable(document.rules, tuple(cases))


async def run_case(case: Case, rules: RuleSet, evaluator: Evaluator, assessor: RiskAssessor) -> CaseResult:
    """What the rules say about a case, compared with what it expects."""
    document = case.document
    agent = AgentFacts(**document.agent.model_dump())
    submission = Submission(case.action, document.justification, risk_level=document.claim)
    if document.risk is not None:
        risk = stated_risk(document.risk)
    else:
        risk = await assessor.assess(agent, submission)
    ruling = await evaluator.evaluate(rules, agent, submission, risk, document.at or datetime.now(UTC))
    return CaseResult(case, ruling, tuple(_differences(document.expect, ruling)))


def stated_risk(level: RiskLevel) -> RiskAssessment:
    """A level that was given for a trial, as if static analysis had said it."""
    return RiskAssessment(level, (RiskVote("static analysis", level, "stated for a trial"),))


def _differences(expected: ExpectationDocument, ruling: Ruling) -> list[str]:
    found: dict[str, Any] = {
        "verdict": ruling.verdict,
        "rule": ruling.rule,
        "approvals": ruling.terms.required_approvals,
        "assurance": ruling.terms.required_assurance,
    }
    return [
        f"{name} is {found[name]}, expected was {wanted}"
        for name, wanted in expected.model_dump(exclude_none=True).items()
        if found[name] != wanted
    ]
