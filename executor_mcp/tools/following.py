"""How a call waits for an execution: with its output as progress where the client asked for that, else 45
seconds.
"""

from __future__ import annotations

import asyncio
import codecs
from typing import Any, Final

from mcp.server.mcpserver.context import Context

from executor_mcp.interface.arguments import MAX_WAIT_SECONDS
from executor_mcp.live_output import Chunk, LiveExecution, Position
from executor_mcp.models import Execution
from executor_mcp.service import ExecutionService

HEARTBEAT_SECONDS: Final = 15.0
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
    await reporter.say("status", f"running as {execution_id}")
    live = service.live(execution_id)
    if live is not None:
        await _stream(live, reporter, deadline)
    while True:
        remaining = max(0.0, deadline - asyncio.get_running_loop().time())
        execution = await service.get(execution_id, wait_seconds=min(HEARTBEAT_SECONDS, remaining))
        if execution.status.is_final or remaining <= 0:
            return execution
        await reporter.say("status", "still running")


async def _stream(live: LiveExecution, reporter: _Reporter, deadline: float) -> None:
    position = Position()
    while not (live.ended and live.position == position):
        remaining = deadline - asyncio.get_running_loop().time()
        if remaining <= 0:
            return
        if not await live.wait(position, min(HEARTBEAT_SECONDS, remaining)):
            await reporter.say("status", "still running")
        chunks, position = live.since(position), live.position
        await reporter.output(chunks)


class _Reporter:
    """Sends `stdout: …`, `stderr: …` and `status: …` as progress messages; the number is the seconds since
    the start.
    """

    def __init__(self, context: Context[Any, Any]) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._last = 0.0
        make = codecs.getincrementaldecoder("utf-8")
        self._decoders = {"stdout": make(errors="replace"), "stderr": make(errors="replace")}

    async def output(self, chunks: tuple[Chunk, ...]) -> None:
        for chunk in chunks:
            text = self._decoders[chunk.stream].decode(chunk.data)
            for begin in range(0, len(text), _LONGEST_MESSAGE):
                await self.say(chunk.stream, text[begin : begin + _LONGEST_MESSAGE])

    async def say(self, kind: str, text: str) -> None:
        # The protocol wants every number to be larger than the one before.
        self._last = max(self._loop.time() - self._began, self._last + 0.000_001)
        await self._context.report_progress(self._last, None, f"{kind}: {text}")


def _wants_progress(context: Context[Any, Any]) -> bool:
    meta = context.request_context.meta
    return meta is not None and meta.get("progress_token") is not None
