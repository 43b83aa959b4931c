"""Replays recorded requests against other rules: what would have been allowed, asked or denied instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from datetime import datetime

from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import ApprovalRequest, Submission
from hitl_mcp.approvals.ports import AgentFactsDirectory, RiskAssessor
from hitl_mcp.approvals.terms import AgentFacts, RuleVerdict
from hitl_mcp.policies.evaluator import Evaluator
from hitl_mcp.policies.rules import RuleSet


@dataclass(frozen=True, slots=True)
class Outcome:
    """What rules said, or would have said. `approvals` is how many people it took."""

    verdict: RuleVerdict
    rule: str
    approvals: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """One request, under the rules of its time and under the others."""

    request_id: str
    agent: str
    action_type: str
    risk: RiskLevel
    created_at: datetime
    before: Outcome
    after: Outcome

    @property
    def differs(self) -> bool:
        """Whether something else would have happened; another rule that says the same is no difference."""
        return (self.before.verdict, self.before.approvals) != (self.after.verdict, self.after.approvals)


@dataclass
class Simulation:
    """`counts` is how many requests went from which verdict to which."""

    counts: Counter[tuple[RuleVerdict, RuleVerdict]] = field(
        default_factory=Counter[tuple[RuleVerdict, RuleVerdict]]
    )
    changed: list[Replayed] = field(default_factory=list[Replayed])
    asked_people: int = 0
    would_ask_people: int = 0

    @property
    def replayed(self) -> int:
        return self.counts.total()


async def simulate(
    requests: AsyncIterable[ApprovalRequest],
    rules: RuleSet,
    evaluator: Evaluator,
    agents: AgentFactsDirectory,
    assessor: RiskAssessor,
) -> Simulation:
    """Replay requests with the risk, the time and the words of their own. Agents are taken as they are now;
    a risk that was not recorded is assessed by `assessor`.

    Nothing is counted against rate and fatigue limits but what `evaluator` counts.
    """
    simulation = Simulation()
    facts: dict[str, AgentFacts] = {}
    async for request in requests:
        if request.agent not in facts:
            facts[request.agent] = await agents.facts(request.agent)
        replayed = await _replay(request, rules, evaluator, facts[request.agent], assessor)
        before, after = replayed.before, replayed.after
        simulation.counts[before.verdict, after.verdict] += 1
        simulation.asked_people += before.approvals
        simulation.would_ask_people += after.approvals
        if replayed.differs:
            simulation.changed.append(replayed)
    return simulation


async def _replay(
    request: ApprovalRequest,
    rules: RuleSet,
    evaluator: Evaluator,
    agent: AgentFacts,
    assessor: RiskAssessor,
) -> Replayed:
    submission = Submission(request.action, request.justification, request.summary, metadata=request.metadata)
    risk = request.assessment or await assessor.assess(agent, submission)
    ruling = await evaluator.evaluate(rules, agent, submission, risk, request.created_at)
    return Replayed(
        request_id=request.request_id,
        agent=request.agent,
        action_type=request.action.type,
        risk=request.risk_level,
        created_at=request.created_at,
        before=Outcome(request.verdict, request.policy, request.required_approvals),
        after=Outcome(ruling.verdict, ruling.rule, ruling.terms.required_approvals),
    )
