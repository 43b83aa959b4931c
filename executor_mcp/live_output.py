"""What running programs have written so far, for those who watch them in this process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal

Stream = Literal["stdout", "stderr"]


@dataclass(frozen=True)
class Chunk:
    """A piece of output as the sandbox handed it over."""

    stream: Stream
    data: bytes = field(repr=False)


class LiveExecution:
    """One program under way: the sink of its output, and the switch that ends it.

    Chunks are kept until the end because a watcher may come late; the sandbox bounds their sum.
    """

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []
        self._ended = False
        self._changed = asyncio.Event()
        self.stop = asyncio.Event()
        self.shutting_down = False

    def stdout(self, chunk: bytes) -> None:
        self._append(Chunk("stdout", chunk))

    def stderr(self, chunk: bytes) -> None:
        self._append(Chunk("stderr", chunk))

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    @property
    def ended(self) -> bool:
        return self._ended

    def since(self, position: int) -> tuple[Chunk, ...]:
        """The chunks after the first `position` ones."""
        return tuple(self._chunks[position:])

    def so_far(self, stream: Stream) -> bytes:
        return b"".join(chunk.data for chunk in self._chunks if chunk.stream == stream)

    async def wait(self, position: int, timeout_seconds: float) -> bool:
        """True as soon as there are more than `position` chunks or the program has ended, False after the
        timeout.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while len(self._chunks) <= position and not self._ended:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                return False
        return True

    def _append(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self._changed.set()


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
