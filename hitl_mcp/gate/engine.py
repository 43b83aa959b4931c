"""What the gate stands on: the approval engine in this process, or a server elsewhere.

Above: `gate.ApprovalGate`, `hitl_mcp.proxy`. Below: `embedded.EmbeddedEngine`, `remote.RemoteEngine`.
"""

from __future__ import annotations

from typing import Protocol

from hitl_contract.action import Action
from hitl_mcp.approvals.models import Submission, Verdict
from hitl_mcp.gate.values import GateRequest


class ApprovalEngine(Protocol):
    """One agent's requests. Every method may raise EngineUnavailable and EngineRefused."""

    async def submit(self, submission: Submission) -> GateRequest:
        """Ask, or find the request that this asks for again."""
        ...

    async def wait(self, request_id: str, seconds: float) -> GateRequest:
        """The request when it has ended, or as it is after `seconds`."""
        ...

    async def spend(self, request_id: str, use: str) -> Action:
        """Use an approval up for the one act named `use`, durably, and return what to do.

        Raises AlreadyUsed for any second act, and for `use` itself again.
        """
        ...

    async def pending(self) -> tuple[GateRequest, ...]:
        """What waits for a decision, newest first."""
        ...

    async def cancel(self, request_id: str, reason: str | None) -> GateRequest: ...

    async def respond(
        self,
        request_id: str,
        verdict: Verdict,
        seen_digest: str,
        *,
        person: str,
        password: str,
        reason: str | None,
    ) -> GateRequest:
        """Decide as a person who proves who they are, on the action of `seen_digest` alone.

        Raises NotPossible where that cannot be proven.
        """
        ...
