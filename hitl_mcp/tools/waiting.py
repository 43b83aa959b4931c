"""The ladder of waiting: how long a call is held until a person has decided, or asks the agent something.

1. The client declared the Tasks extension (2026-07-28): not at all, it gets a task and asks for that.
2. A progress token came with the call: until the decision, with a progress notification every 15 seconds.
3. Otherwise: 45 seconds at most, which every known client waits for.

The request is stored before any waiting. A dropped, cancelled or timed-out call merely detaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver.context import Context
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from hitl_mcp.approvals.models import RequestRecord, RequestStatus
from hitl_mcp.interface.arguments import MAX_WAIT_SECONDS

TASKS_EXTENSION: Final = "io.modelcontextprotocol/tasks"
PROGRESS_EVERY_SECONDS: Final = 15.0
HELD_WITHOUT_PROGRESS_SECONDS: Final = 45.0


class Waiter(Protocol):
    """The part of the approval service that waits."""

    async def wait(self, request_id: str, timeout_seconds: float, *, or_asked: bool = False) -> RequestRecord:
        """The record at its end, or after `timeout_seconds` as it then is; `or_asked`: or once asked back."""
        ...


@dataclass(frozen=True, slots=True)
class Ladder:
    """Waits as the caller's client allows. `or_asked`: no longer than until a person asks the agent back."""

    waiter: Waiter
    progress_every_seconds: float = PROGRESS_EVERY_SECONDS
    held_without_progress_seconds: float = HELD_WITHOUT_PROGRESS_SECONDS
    or_asked: bool = True

    async def wait(
        self, record: RequestRecord, context: Context[Any, Any], wait_seconds: float, *, review_url: str
    ) -> RequestRecord:
        """Wait at most `wait_seconds`, and less where the client could not stand it."""
        if record.request.status is not RequestStatus.PENDING or wait_seconds <= 0:
            return record
        if not has_progress_token(context.request_context):
            held = min(wait_seconds, self.held_without_progress_seconds)
            return await self.waiter.wait(record.request.request_id, held, or_asked=self.or_asked)
        return await self._wait_with_progress(record, context, wait_seconds, review_url)

    async def _wait_with_progress(
        self, record: RequestRecord, context: Context[Any, Any], wait_seconds: float, review_url: str
    ) -> RequestRecord:
        request_id, waited = record.request.request_id, 0.0
        while not self._is_over(record) and waited < wait_seconds:
            await context.report_progress(
                waited, wait_seconds, f"Waiting for a person to decide request {request_id}: {review_url}"
            )
            step = min(self.progress_every_seconds, wait_seconds - waited)
            record = await self.waiter.wait(request_id, step, or_asked=self.or_asked)
            waited += step
        return record

    def _is_over(self, record: RequestRecord) -> bool:
        asked = self.or_asked and record.open_question is not None
        return asked or record.request.status is not RequestStatus.PENDING


def default_wait_seconds(context: Context[Any, Any]) -> float:
    """How long `request_approval` waits when it was not told."""
    return 0 if declares_tasks(context.request_context) else MAX_WAIT_SECONDS


def declares_tasks(context: ServerRequestContext[Any, Any]) -> bool:
    """Whether this very request came with the Tasks extension, on a revision that has it."""
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return False
    capabilities = context.session.client_capabilities
    return bool(capabilities and capabilities.extensions and TASKS_EXTENSION in capabilities.extensions)


def has_progress_token(context: ServerRequestContext[Any, Any]) -> bool:
    """Whether the caller asked for progress notifications."""
    return context.meta is not None and context.meta.get("progress_token") is not None
