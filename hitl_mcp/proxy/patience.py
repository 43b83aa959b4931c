"""How long a call is held for a decision: with progress notifications long, without them 45 seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from hitl_mcp.gate.engine import ApprovalEngine
from hitl_mcp.gate.errors import EngineUnavailable
from hitl_mcp.gate.values import GateRequest

HELD_SECONDS: Final = 3600.0
HELD_WITHOUT_PROGRESS_SECONDS: Final = 45.0
PROGRESS_EVERY_SECONDS: Final = 15.0
_RETRY_SECONDS: Final = 1.0

Progress = Callable[[str | int, float, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Patience:
    """`held_seconds` is for clients that asked for progress; it is what the others get at most."""

    held_seconds: float = HELD_SECONDS
    progress_every_seconds: float = PROGRESS_EVERY_SECONDS

    async def wait(
        self, engine: ApprovalEngine, request: GateRequest, token: str | int | None, progress: Progress
    ) -> GateRequest:
        """The request at its end, or as it is when the client needs an answer; outages are waited out."""
        held = (
            self.held_seconds if token is not None else min(self.held_seconds, HELD_WITHOUT_PROGRESS_SECONDS)
        )
        deadline, told = time.monotonic() + held, 0
        while not request.ended and (left := deadline - time.monotonic()) > 0:
            if token is not None:
                told += 1
                # Below zero and rising: the server's own progress, from zero on, comes after it.
                message = f"Waiting for a person to decide request {request.request_id}: {request.review_url}"
                await progress(token, -1 / told, message)
            try:
                request = await engine.wait(request.request_id, min(left, self.progress_every_seconds))
            except EngineUnavailable:
                await asyncio.sleep(min(left, _RETRY_SECONDS))
        return request
