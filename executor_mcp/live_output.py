"""What running programs have written so far, for those who watch them in this process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal

Stream = Literal["stdout", "stderr"]


@dataclass(frozen=True)
class Chunk:
    """A piece of one stream."""

    stream: Stream
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Position:
    """How much of each stream a watcher has seen, in bytes."""

    stdout: int = 0
    stderr: int = 0


class LiveExecution:
    """One program under way: the sink of its output, and the switch that ends it.

    The output is kept until the end because a watcher may come late; the sandbox bounds it. As plain bytes,
    because a program that writes them one by one would make each cost a hundred times its size.
    """

    def __init__(self) -> None:
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._ended = False
        self._changed = asyncio.Event()
        self.stop = asyncio.Event()
        self.shutting_down = False

    def stdout(self, chunk: bytes) -> None:
        self._stdout += chunk
        self._changed.set()

    def stderr(self, chunk: bytes) -> None:
        self._stderr += chunk
        self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def position(self) -> Position:
        """The end of what there is."""
        return Position(len(self._stdout), len(self._stderr))

    def since(self, position: Position) -> tuple[Chunk, ...]:
        """What has come after `position`, in one piece of each stream."""
        pieces = (
            Chunk("stdout", bytes(self._stdout[position.stdout :])),
            Chunk("stderr", bytes(self._stderr[position.stderr :])),
        )
        return tuple(piece for piece in pieces if piece.data)

    def so_far(self, stream: Stream) -> bytes:
        return bytes(self._stdout if stream == "stdout" else self._stderr)

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

    def open(self, execution_id: str) -> LiveExecution:
        live = self._by_id[execution_id] = LiveExecution()
        return live

    def get(self, execution_id: str) -> LiveExecution | None:
        return self._by_id.get(execution_id)

    def close(self, execution_id: str) -> None:
        live = self._by_id.pop(execution_id, None)
        if live is not None:
            live.end()

    def __contains__(self, execution_id: str) -> bool:
        return execution_id in self._by_id

    def __len__(self) -> int:
        return len(self._by_id)

    def stop_all(self) -> None:
        """Ends every program because the process is about to end."""
        for live in self._by_id.values():
            live.shutting_down = True
            live.stop.set()
