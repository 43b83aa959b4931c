"""The checkpoint of a program that runs: asked for now and then, so that a sudden end leaves one.

1. Nothing is asked of a program that is over within its first second, nor is there a timer for it.
2. One is asked for every two seconds, and the next only when the last has come.
3. It has at most 256 KiB, and is complete, strict JSON: the supervisor sends nothing that anybody has open
   for writing, and what is no JSON here is not passed on.
4. What was not asked for, or is larger, comes from no supervisor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from executor_mcp.sandbox.frames import FrameError, FrameKind, encode_frame
from executor_mcp.sandbox.results import checked_result

CHECKPOINT_FILE: Final = "checkpoint.json"
MAX_CHECKPOINT_BYTES: Final = 256 * 1024
"""The supervisor has the same bound."""

FIRST_SECONDS: Final = 1.0
NEXT_SECONDS: Final = 2.0


class CheckpointWatch:
    """Of one run. `send` reaches its supervisor; `tell` is given each new checkpoint as it was written."""

    def __init__(self, send: Callable[[bytes], None], tell: Callable[[bytes], None]) -> None:
        self._send = send
        self._tell = tell
        self._task: asyncio.Task[None] | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._content = bytearray()

    def begin(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def take(self, payload: bytes) -> None:
        """A CHECKPOINT frame: a piece, or nothing at the end. Raises FrameError, but after `stop` not."""
        answer = self._answer
        if answer is not None and answer.cancelled():
            return
        if answer is None or answer.done():
            raise FrameError("a checkpoint that was not asked for")  # 4
        if len(self._content) + len(payload) > MAX_CHECKPOINT_BYTES:
            raise FrameError("a checkpoint of more than 256 KiB")
        self._content += payload
        if not payload:
            answer.set_result(bytes(self._content))

    async def _run(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            self._content.clear()
            self._answer = asyncio.get_running_loop().create_future()
            self._send(encode_frame(FrameKind.LOOK))
            content = await self._answer
            # In a thread: a program chooses what there is to parse.
            if content and await asyncio.to_thread(checked_result, content) is not None:  # 3
                self._tell(content)
            await asyncio.sleep(NEXT_SECONDS)
