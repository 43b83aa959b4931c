"""Puts down what a running program writes, so that a killed executor loses at most a second of it.

1. Nothing is written for a program that is over within half a second.
2. Then what is new is put down twice a second, and usage with it, at least every five seconds.
3. At most a mebibyte at a time; the sandbox bounds the whole. A new checkpoint comes every two seconds.
4. A database that is away stops nothing: what could not be put down is tried again with what came since.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.later import Later
from executor_mcp.live_output import Chunk, LiveExecution, Position
from executor_mcp.storage.executions import ExecutionStore
from executor_mcp.storage.running_state import Progress, RunningState
from server_kit.database.base import Database
from server_kit.errors import ServerError

KEEP_SECONDS: Final = 0.5
_USAGE_SECONDS: Final = 5.0
_MOST_BYTES: Final = 1 << 20
_PIECE_BYTES: Final = 1 << 18


class OutputKeeper:
    """One for all executions of a process."""

    def __init__(self, database: Database, running: RunningState) -> None:
        self._database = database
        self._running = running
        self._log = structlog.get_logger("executor.output")

    def begin(self, execution_id: str, live: LiveExecution) -> Later:
        """Once it has begun there may be rows to be taken away with the end."""
        return Later(KEEP_SECONDS, lambda: self._keep(execution_id, live))

    async def _keep(self, execution_id: str, live: LiveExecution) -> None:
        began = last = time.monotonic() - KEEP_SECONDS
        position = Position()
        kept: bytes | None = None
        while True:
            chunks = _new_chunks(live, position)
            checkpoint = live.last_checkpoint
            now = time.monotonic()
            if chunks or checkpoint is not kept or now - last >= _USAGE_SECONDS:
                progress = Progress(now - began, live.peaks, None if checkpoint is kept else checkpoint)
                try:
                    await self._put(execution_id, chunks, progress)
                except ServerError as error:
                    self._log.warning("output_not_kept", problem=str(error))
                else:
                    last, kept = now, checkpoint
                    for chunk in chunks:
                        position = position.after(chunk)
            await asyncio.sleep(KEEP_SECONDS)

    async def _put(self, execution_id: str, chunks: list[Chunk], progress: Progress) -> None:
        async def write(connection: AsyncConnection) -> None:
            await self._running.put(connection, execution_id, chunks, progress)
            await self._database.changes.publish(connection, ExecutionStore.change_key(execution_id))

        await self._database.write(write)


def _new_chunks(live: LiveExecution, position: Position) -> list[Chunk]:
    chunks: list[Chunk] = []
    room = _MOST_BYTES
    while room > 0 and (pieces := live.since(position, _PIECE_BYTES)):
        for piece in pieces:
            chunks.append(piece)
            position = position.after(piece)
            room -= len(piece.data)
    return chunks
