"""What the rules would say about an action, without asking anybody and without keeping anything."""

from __future__ import annotations

from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.ports import AgentFactsDirectory, Policy, RiskAssessor
from hitl_mcp.approvals.terms import RuleVerdict, Ruling, Terms


class PolicyExplainer:
    """Asks what a real request asks, in the same order: who is this, how risky is it, which rule applies."""

    def __init__(self, agents: AgentFactsDirectory, risk: RiskAssessor, policy: Policy) -> None:
        self._agents = agents
        self._risk = risk
        self._policy = policy

    async def explain(self, agent: str, submission: Submission) -> Ruling:
        facts = await self._agents.facts(agent)
        risk = await self._risk.assess(facts, submission)
        return await self._policy.evaluate(facts, submission, risk)


def in_words(ruling: Ruling) -> str:
    """What would happen, in one sentence. Groups are named, people never."""
    match ruling.verdict:
        case RuleVerdict.ALLOW:
            return "It would be approved without asking anybody."
        case RuleVerdict.DENY:
            return "It would be denied without asking anybody."
        case RuleVerdict.ASK:
            return f"People would be asked: {_stages(ruling.terms)}."


def _stages(terms: Terms) -> str:
    stages = (
        " and ".join(f"{quorum.count} from {quorum.group}" for quorum in stage.quorums)
        for stage in terms.stages
    )
    return ", then ".join(stages)
