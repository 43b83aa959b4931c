"""What running programs have put out so far, where their process's death does not reach it.

Rows come while a program runs and go in the transaction that records its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.live_output import PIECE_BYTES, Chunk, Position, Stream
from executor_mcp.sandbox.base import ResourceUsage
from executor_mcp.sandbox.usage import UsagePeaks
from executor_mcp.storage.schema import running_output, running_progress
from server_kit.database.base import Database

_STREAMS: Final[tuple[Stream, Stream]] = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running program had come. Without a new checkpoint the one that was put down stays."""

    wall_seconds: float
    peaks: UsagePeaks
    new_checkpoint: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Remains:
    """What was put down of a program whose process died."""

    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)
    usage: ResourceUsage | None = None
    checkpoint: bytes | None = field(default=None, repr=False)


class RunningState:
    """The rows of `running_output` and `running_progress`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(
        self, connection: AsyncConnection, execution_id: str, chunks: Sequence[Chunk], progress: Progress
    ) -> None:
        """Add output and replace the progress."""
        make = postgresql.insert if self._database.dialect == "postgresql" else sqlite.insert
        for chunk in chunks:
            # What came again after an unclear answer is the same bytes, and perhaps more of them.
            piece = make(running_output).values(
                execution_id=execution_id, stream=chunk.stream, start=chunk.offset, content=chunk.data
            )
            await connection.execute(
                piece.on_conflict_do_update(
                    index_elements=list(running_output.primary_key), set_={"content": chunk.data}
                )
            )
        peaks = progress.peaks
        values: dict[str, object] = {
            "wall_seconds": progress.wall_seconds,
            "cpu_seconds": peaks.cpu_seconds,
            "peak_memory_bytes": peaks.memory_bytes,
            "peak_processes": peaks.processes,
            "read_bytes": peaks.read_bytes,
            "written_bytes": peaks.written_bytes,
        }
        if progress.new_checkpoint is not None:
            values["checkpoint"] = progress.new_checkpoint
        statement = make(running_progress).values(execution_id=execution_id, **values)
        await connection.execute(
            statement.on_conflict_do_update(index_elements=[running_progress.c.execution_id], set_=values)
        )

    async def forget(self, connection: AsyncConnection, execution_id: str) -> None:
        """The end is recorded in this transaction."""
        for table in (running_output, running_progress):
            await connection.execute(delete(table).where(table.c.execution_id == execution_id))

    async def since(self, execution_id: str, position: Position) -> tuple[Chunk, ...]:
        """What was put down after `position`: at most one piece of each stream, of at most 64 KiB."""

        async def read(connection: AsyncConnection) -> tuple[Chunk, ...]:
            found: list[Chunk] = []
            for stream, seen in zip(_STREAMS, (position.stdout, position.stderr), strict=True):
                size = func.length(running_output.c.content)
                row = (
                    await connection.execute(
                        select(running_output.c.start, running_output.c.content)
                        .where(
                            running_output.c.execution_id == execution_id,
                            running_output.c.stream == stream,
                            running_output.c.start + size > seen,
                        )
                        .order_by(running_output.c.start)
                        .limit(1)
                    )
                ).one_or_none()
                if row is not None:
                    begin = max(0, seen - row.start)
                    found.append(Chunk(stream, row.start + begin, row.content[begin : begin + PIECE_BYTES]))
            return tuple(found)

        return await self._database.read(read)

    async def remains(self, execution_id: str) -> Remains:
        """All that was put down; empty where nothing was."""

        async def read(connection: AsyncConnection) -> Remains:
            rows = await connection.execute(
                select(running_output.c.stream, running_output.c.content)
                .where(running_output.c.execution_id == execution_id)
                .order_by(running_output.c.stream, running_output.c.start)
            )
            pieces: dict[str, list[bytes]] = {stream: [] for stream in _STREAMS}
            for row in rows:
                pieces[row.stream].append(row.content)
            texts = {stream: b"".join(found) for stream, found in pieces.items()}
            progress = (
                await connection.execute(
                    select(running_progress).where(running_progress.c.execution_id == execution_id)
                )
            ).one_or_none()
            if progress is None:
                return Remains(texts["stdout"], texts["stderr"])
            usage = ResourceUsage(
                wall_seconds=progress.wall_seconds,
                cpu_seconds=progress.cpu_seconds,
                peak_memory_bytes=progress.peak_memory_bytes,
                output_bytes=len(texts["stdout"]) + len(texts["stderr"]),
                peak_processes=progress.peak_processes,
                read_bytes=progress.read_bytes,
                written_bytes=progress.written_bytes,
            )
            return Remains(texts["stdout"], texts["stderr"], usage, progress.checkpoint)

        return await self._database.read(read)
