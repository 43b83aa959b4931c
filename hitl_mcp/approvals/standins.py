"""The least that can stand behind a port: for set-ups without described agents, assessors or groups."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from hitl_mcp.approvals.capacity import Capacity
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.ports import PersonRecord
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.approvals.terms import AgentFacts, RiskAssessment, RiskVote


class UndescribedAgents:
    """Implements `ports.AgentFactsDirectory`: an agent is its name."""

    async def facts(self, agent: str) -> AgentFacts:
        return AgentFacts(agent)


class ClaimedRisk:
    """Implements `ports.RiskAssessor`: the agent's own claim; an agent that says nothing means medium."""

    async def assess(self, agent: AgentFacts, submission: Submission) -> RiskAssessment:  # noqa: ARG002 - the port's signature
        level = submission.risk_level or RiskLevel.MEDIUM
        reason = "the agent says so" if submission.risk_level else "the agent says nothing"
        return RiskAssessment(level, (RiskVote("claim", level, reason),))


class _Eligible(Protocol):
    async def eligible(self, person_id: str) -> PersonRecord | None: ...


class RolesAsGroups:
    """Implements `ports.PeopleDirectory` over one that knows roles only: they are groups; none delegates."""

    def __init__(self, directory: _Eligible) -> None:
        self._directory = directory

    async def eligible(self, person_id: str) -> PersonRecord | None:
        return await self._directory.eligible(person_id)

    async def capacity(
        self,
        person_id: str,
        *,
        at: datetime,  # noqa: ARG002 - the port's signature
        agent: str,  # noqa: ARG002
        action_type: str,  # noqa: ARG002
        risk: RiskLevel,  # noqa: ARG002
        request_id: str,  # noqa: ARG002
    ) -> Capacity | None:
        person = await self._directory.eligible(person_id)
        if person is None:
            return None
        return Capacity(
            person.person_id, person.display_name, frozenset(person_key(role) for role in person.roles)
        )

    async def members(self, group: str) -> tuple[str, ...]:  # noqa: ARG002 - the port's signature
        return ()
