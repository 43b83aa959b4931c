"""An approver's desk: what a person may do with requests, over a running server or on the database itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

from hitl_contract.action import Action
from hitl_mcp.approvals.models import Conditions
from hitl_mcp.terminal.cards import RequestCard


@dataclass(frozen=True, slots=True)
class BatchLine:
    """What became of one of several: the request afterwards, or why it was refused."""

    request_id: str
    card: RequestCard | None
    refusal: str | None


class Desk(Protocol):
    """One person, authenticated. Every method answers with the request as it is afterwards.

    Raises `RequestNotFound`, `AlreadyEnded`, `NotEligible`, `DigestChanged`, `AlreadyDecided`, or a
    `CommandFailed` that says the same.
    """

    async def pending(self) -> list[RequestCard]:
        """Everything that waits for a decision."""
        ...

    async def read(self, request_id: str) -> RequestCard: ...

    async def approve(
        self,
        request_id: str,
        *,
        action_digest: str,
        reason: str | None = None,
        conditions: Conditions | None = None,
    ) -> RequestCard:
        """`action_digest` is of what the person was shown."""
        ...

    async def approve_several(self, digests: Mapping[str, str], *, reason: str | None) -> list[BatchLine]:
        """Approve each request by the digest of what was shown of it, each for itself."""
        ...

    async def edit(
        self, request_id: str, *, action: Action, action_digest: str, reason: str | None
    ) -> RequestCard:
        """Change what is asked for. Raises `EditRefused` besides."""
        ...

    async def revoke(self, request_id: str, *, reason: str | None) -> RequestCard:
        """Take an approval back. Raises `NotApproved` besides."""
        ...

    async def deny(self, request_id: str, *, action_digest: str, reason: str | None) -> RequestCard: ...

    async def answer(self, request_id: str, *, action_digest: str, answer: JsonValue) -> RequestCard:
        """Answers an agent's question. Raises `WrongKind` and `InvalidAnswer` besides."""
        ...

    async def ask(self, request_id: str, question: str) -> RequestCard:
        """Asks the agent back. Raises `WrongKind` and `TooManyQuestions` besides."""
        ...

    async def cancel(self, request_id: str, *, reason: str | None) -> RequestCard: ...
