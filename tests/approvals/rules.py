"""A policy, a people directory and inputs for tests of terms that differ from request to request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hitl_contract.action import Action
from hitl_contract.action_code import CodeExecution
from hitl_mcp.approvals.capacity import ActingFor, Capacity
from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.models import EditInput, RequestRecord, Submission
from hitl_mcp.approvals.ports import PersonRecord
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.approvals.terms import (
    AgentFacts,
    GroupQuorum,
    RiskAssessment,
    RuleVerdict,
    Ruling,
    Stage,
    Terms,
)


def stage(**counts: int) -> Stage:
    return Stage(tuple(GroupQuorum(group, count) for group, count in counts.items()))


def asking(*stages: Stage, **more: object) -> Terms:
    return Terms(stages=stages or (stage(approver=1),), **more)  # type: ignore[arg-type]


@dataclass
class RuleByWord:
    """Implements `ports.Policy`: the first word of `terms` that is in the code decides; else `usual`.

    The words "allowed" and "denied" are verdicts of their own.
    """

    usual: Terms = field(default_factory=Terms)
    terms: Mapping[str, Terms] = field(default_factory=dict[str, Terms])

    async def evaluate(self, agent: AgentFacts, submission: Submission, risk: RiskAssessment) -> Ruling:
        action = submission.action
        code = action.code if isinstance(action, CodeExecution) else ""
        if "allowed" in code:
            return Ruling("allow-harmless", RuleVerdict.ALLOW, risk, Terms(), "It is harmless.")
        if "denied" in code:
            return Ruling("deny-harm", RuleVerdict.DENY, risk, Terms(), "It does harm.")
        found = next((word for word in self.terms if word in code), None)
        terms = self.usual if found is None else self.terms[found]
        return Ruling(found or "usual", RuleVerdict.ASK, risk, terms, "The test says so.")


@dataclass
class GroupedPeople:
    """Implements `ports.PeopleDirectory`: people by hand, with groups and delegations."""

    groups: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    delegations: dict[str, list[ActingFor]] = field(default_factory=dict[str, list[ActingFor]])

    async def eligible(self, person_id: str) -> PersonRecord | None:
        for name, groups in self.groups.items():
            if person_key(name) == person_key(person_id):
                return PersonRecord(name, name, tuple(sorted(groups)))
        return None

    async def capacity(
        self, person_id: str, *, at: datetime, agent: str, action_type: str, risk: RiskLevel, request_id: str
    ) -> Capacity | None:
        for name, groups in self.groups.items():
            if person_key(name) == person_key(person_id):
                lent = tuple(self.delegations.get(name, ()))
                return Capacity(name, name, frozenset({"approver", *groups}), lent)
        return None

    async def members(self, group: str) -> tuple[str, ...]:
        return tuple(name for name, groups in self.groups.items() if group in groups)


def edit(
    record: RequestRecord,
    person: str,
    action: Action,
    *,
    reason: str | None = None,
    assurance: Assurance = Assurance.SESSION,
    digest: str | None = None,
) -> EditInput:
    return EditInput(
        request_id=record.request.request_id,
        person=person,
        action=action,
        reason=reason,
        channel="web",
        assurance=assurance,
        action_digest=digest or record.request.action_digest,
        evidence={"session": "s-1"},
    )
