"""How a call waits for an execution: with its output and usage as progress where the client asked for that,
else 45 seconds.
"""

from __future__ import annotations

import asyncio
import codecs
import json
from dataclasses import asdict
from typing import Any, Final

from mcp.server.mcpserver.context import Context

from executor_mcp import execution_feed
from executor_mcp.execution_feed import EndEvent, Event, IdleEvent, OutputEvent, StatusEvent, UsageEvent
from executor_mcp.interface.arguments import MAX_WAIT_SECONDS
from executor_mcp.live_output import Chunk
from executor_mcp.models import Execution
from executor_mcp.service import ExecutionService

HELD_WITHOUT_PROGRESS_SECONDS: Final = 45.0
_LONGEST_MESSAGE: Final = 16_384


async def follow(
    service: ExecutionService, execution_id: str, context: Context[Any, Any], wait_seconds: float | None
) -> Execution:
    """The execution at its end, or as it is when the caller's patience is over.

    Leaving changes nothing for it.
    """
    if not _wants_progress(context):
        patience = HELD_WITHOUT_PROGRESS_SECONDS if wait_seconds is None else wait_seconds
        return await service.get(execution_id, wait_seconds=min(patience, HELD_WITHOUT_PROGRESS_SECONDS))
    patience = float(MAX_WAIT_SECONDS) if wait_seconds is None else wait_seconds
    reporter = _Reporter(context)
    deadline = asyncio.get_running_loop().time() + patience
    async for event, _ in execution_feed.follow(service, execution_id, until=deadline):
        await reporter.report(event)
        if isinstance(event, EndEvent):
            return event.execution
    return await service.get(execution_id)


class _Reporter:
    """Sends `stdout: …`, `stderr: …`, `usage: {…}` and `status: …` as progress messages; the number is the
    seconds since the start.
    """

    def __init__(self, context: Context[Any, Any]) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._last = 0.0
        make = codecs.getincrementaldecoder("utf-8")
        self._decoders = {"stdout": make(errors="replace"), "stderr": make(errors="replace")}

    async def report(self, event: Event) -> None:
        match event:
            case StatusEvent(execution):
                if execution.ahead is None:
                    await self._say("status", f"running as {execution.execution_id}")
                else:
                    place = f"waiting for a place as {execution.execution_id}, {execution.ahead} before it"
                    await self._say("status", place)
            case OutputEvent(chunk):
                await self._output(chunk)
            case UsageEvent(sample):
                await self._say("usage", json.dumps(asdict(sample)))
            case IdleEvent():
                await self._say("status", "still running")
            case EndEvent():
                return

    async def _output(self, chunk: Chunk) -> None:
        text = self._decoders[chunk.stream].decode(chunk.data)
        for begin in range(0, len(text), _LONGEST_MESSAGE):
            await self._say(chunk.stream, text[begin : begin + _LONGEST_MESSAGE])

    async def _say(self, kind: str, text: str) -> None:
        # The protocol wants every number to be larger than the one before.
        self._last = max(self._loop.time() - self._began, self._last + 0.000_001)
        await self._context.report_progress(self._last, None, f"{kind}: {text}")


def _wants_progress(context: Context[Any, Any]) -> bool:
    meta = context.request_context.meta
    return meta is not None and meta.get("progress_token") is not None
