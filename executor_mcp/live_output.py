"""What running programs have written and used so far, for those who watch them in this process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from executor_mcp.models import Execution
from executor_mcp.sandbox.usage import UsagePeaks, UsageSample

Stream = Literal["stdout", "stderr"]

PIECE_BYTES: Final = 65_536
USAGE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one stream, and where in the stream it begins, in bytes."""

    stream: Stream
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Position:
    """How much a watcher has seen: bytes of each stream, and the number of the last usage."""

    stdout: int = 0
    stderr: int = 0
    usage: int = 0

    def after(self, chunk: Chunk) -> Position:
        end = chunk.offset + len(chunk.data)
        return replace(self, stdout=end) if chunk.stream == "stdout" else replace(self, stderr=end)


class LiveExecution:
    """One program under way: the sink of its output, and the switch that ends it.

    The output is kept until the end because a watcher may come late; the sandbox bounds it. As plain bytes,
    because a program that writes them one by one would make each cost a hundred times its size. A watcher
    takes pieces when it is ready for them: nothing waits here for one that is slow, and the program never.
    """

    def __init__(self) -> None:
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._usage: UsageSample | None = None
        self.peaks = UsagePeaks()
        self.last_checkpoint: bytes | None = None
        self._usage_number = 0
        self._usage_told_at = float("-inf")
        self._ended = False
        self._over = asyncio.Event()
        self.recorded: Execution | None = None
        """The ended execution, once its record is durable."""
        self._changed = asyncio.Event()
        self.stop = asyncio.Event()
        self.shutting_down = False

    def stdout(self, chunk: bytes) -> None:
        self._stdout += chunk
        self._changed.set()

    def stderr(self, chunk: bytes) -> None:
        self._stderr += chunk
        self._changed.set()

    def usage(self, sample: UsageSample) -> None:
        """The newest is kept; watchers are woken by one in half a second."""
        self._usage = sample
        self.peaks = self.peaks.with_sample(sample)
        if sample.wall_seconds - self._usage_told_at >= USAGE_SECONDS:
            self._usage_told_at = sample.wall_seconds
            self._usage_number += 1
            self._changed.set()

    def checkpoint(self, content: bytes) -> None:
        """The same bytes again are no new checkpoint."""
        if content != self.last_checkpoint:
            self.last_checkpoint = content

    def end(self, recorded: Execution | None = None) -> None:
        """Nothing comes any more."""
        self._ended = True
        self.recorded = recorded
        self._over.set()
        self._changed.set()

    async def until_recorded(self, timeout_seconds: float) -> Execution | None:
        """The ended execution, as it was recorded; None after the timeout, or where none is known."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._over.wait()
        except TimeoutError:
            return None
        return self.recorded

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def position(self) -> Position:
        """The end of what there is."""
        return Position(len(self._stdout), len(self._stderr), self._usage_number)

    @property
    def latest_usage(self) -> UsageSample | None:
        return self._usage

    def since(self, position: Position, most_bytes: int = PIECE_BYTES) -> tuple[Chunk, ...]:
        """What has come after `position`: at most one piece of each stream, of at most `most_bytes`."""
        pieces = (
            Chunk("stdout", position.stdout, self.so_far("stdout", most_bytes, position.stdout)),
            Chunk("stderr", position.stderr, self.so_far("stderr", most_bytes, position.stderr)),
        )
        return tuple(piece for piece in pieces if piece.data)

    def so_far(self, stream: Stream, most_bytes: int, offset: int = 0) -> bytes:
        kept = self._stdout if stream == "stdout" else self._stderr
        return bytes(memoryview(kept)[offset : offset + most_bytes])

    async def wait(self, position: Position, timeout_seconds: float) -> bool:
        """True as soon as there is more than `position` or the program has ended, False after the timeout."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while self.position == position and not self._ended:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                return False
        return True


class LiveExecutions:
    """The executions that this process is running, by id."""

    def __init__(self) -> None:
        self._by_id: dict[str, LiveExecution] = {}
        self._expected: set[str] = set()

    def expect(self, execution_id: str) -> None:
        """It is about to be run here: from now on it is this process's to end."""
        self._expected.add(execution_id)

    def expect_no_longer(self, execution_id: str) -> None:
        self._expected.discard(execution_id)

    def open(self, execution_id: str) -> LiveExecution:
        live = self._by_id[execution_id] = LiveExecution()
        return live

    def get(self, execution_id: str) -> LiveExecution | None:
        return self._by_id.get(execution_id)

    def close(self, execution_id: str, recorded: Execution | None = None) -> None:
        live = self._by_id.pop(execution_id, None)
        if live is not None:
            live.end(recorded)

    def __contains__(self, execution_id: str) -> bool:
        return execution_id in self._by_id or execution_id in self._expected

    def __len__(self) -> int:
        return len(self._by_id)

    def stop_all(self) -> None:
        """Ends every program because the process is about to end."""
        for live in self._by_id.values():
            live.shutting_down = True
            live.stop.set()
