"""What the approval core tells of its work to those who follow traces; nothing, unless a collector is set."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from hitl_mcp.approvals.models import ApprovalRequest


class StepNotes(Protocol):
    """Takes facts about a step: names and numbers from closed sets, never a person's or an agent's words."""

    def note(self, name: str, value: str | int) -> None: ...


class RequestTracing(Protocol):
    """Follows requests from door to token."""

    def callers_trace(self) -> str | None:
        """The trace that this call belongs to, as 32 hexadecimal digits."""
        ...

    def requested(self, request: ApprovalRequest, *, began: int) -> None:
        """A request was stored, by a call that began at `began`, in nanoseconds since the epoch."""
        ...

    def step(self, name: str, request_id: str) -> AbstractContextManager[StepNotes]:
        """One step of a request's life; an error that leaves it is noted by its type."""
        ...


class _Unheard:
    def note(self, name: str, value: str | int) -> None:
        """Nobody listens."""


class Untraced:
    """Implements `RequestTracing` where nothing is exported."""

    def callers_trace(self) -> str | None:
        return None

    def requested(self, request: ApprovalRequest, *, began: int) -> None:
        """Nobody listens."""

    @contextmanager
    def step(self, name: str, request_id: str) -> Generator[StepNotes]:
        del name, request_id
        yield _Unheard()
