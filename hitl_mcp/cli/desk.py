"""An approver's desk: what a person may do with requests, over a running server or on the database itself."""

from __future__ import annotations

from typing import Protocol

from pydantic import JsonValue

from hitl_mcp.terminal.cards import RequestCard


class Desk(Protocol):
    """One person, authenticated. Every method answers with the request as it is afterwards.

    Raises `RequestNotFound`, `AlreadyEnded`, `NotEligible`, `DigestChanged`, `AlreadyDecided`, or a
    `CommandFailed` that says the same.
    """

    async def pending(self) -> list[RequestCard]:
        """Everything that waits for a decision."""
        ...

    async def read(self, request_id: str) -> RequestCard: ...

    async def approve(self, request_id: str, *, action_digest: str) -> RequestCard:
        """`action_digest` is of what the person was shown."""
        ...

    async def deny(self, request_id: str, *, action_digest: str, reason: str | None) -> RequestCard: ...

    async def answer(self, request_id: str, *, action_digest: str, answer: JsonValue) -> RequestCard:
        """Answers an agent's question. Raises `WrongKind` and `InvalidAnswer` besides."""
        ...

    async def ask(self, request_id: str, question: str) -> RequestCard:
        """Asks the agent back. Raises `WrongKind` and `TooManyQuestions` besides."""
        ...

    async def cancel(self, request_id: str, *, reason: str | None) -> RequestCard: ...
