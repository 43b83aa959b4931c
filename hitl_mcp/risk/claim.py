"""The agent's own word on the risk of what it asks for."""

from __future__ import annotations

from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.terms import AgentFacts
from hitl_mcp.risk.assessor import Opinion


class AgentsClaim:
    """The worst that the agent says is believed; what it says to its own favour changes nothing."""

    name = "claim"
    essential = False

    async def assess(self, agent: AgentFacts, submission: Submission) -> Opinion:
        return self.at_once(agent, submission)

    def at_once(self, agent: AgentFacts, submission: Submission) -> Opinion:  # noqa: ARG002 - the protocol's signature
        claimed = submission.risk_level
        if claimed is None:
            return Opinion(None, "the agent states no risk")
        return Opinion(
            claimed, f"the agent itself states {claimed.value} risk; that can only raise the level"
        )
