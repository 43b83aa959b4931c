"""A program's standard output or error as a pipe that this process reads, up to a bound.

The program writes into the pipe itself. Once the bound is reached nobody reads here any more: the supervisor
in the sandbox is asked to read and drop, at the sandbox's expense, so a flood costs this process no more than
the bound.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from executor_mcp.sandbox.frames import Frame, FrameKind

_CHUNK_BYTES = 65536


class OutputPipe:
    """`deliver` gets what is within the bound, `ask_to_drain` is called when it is reached, `ended` at the
    end.
    """

    def __init__(
        self,
        kind: FrameKind,
        bound: int,
        *,
        deliver: Callable[[Frame], None],
        ask_to_drain: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self._kind = kind
        self._room = bound
        self._deliver = deliver
        self._ask_to_drain = ask_to_drain
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._reading = False
        self._draining = False
        self.total = 0
        self.closed = False

    def begin(self) -> None:
        """The sandbox has both ends now: this process keeps the reader alone."""
        os.close(self.writer)
        self.writer = -1
        self.resume()

    def pause(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self.reader)

    def resume(self) -> None:
        if not (self._reading or self._draining or self.closed):
            self._reading = True
            self._loop.add_reader(self.reader, self._readable)

    def finish(self, *, drained: bool) -> None:
        """Nothing writes any more: what is still in the pipe is read, unless the sandbox has drained it."""
        if drained:
            self.close()
            return
        self._draining = False
        self.resume()

    def take_the_rest(self) -> None:
        """Reads what is there, without waiting for an end, and closes."""
        while not (self._draining or self.closed):
            if not self._read_once():
                break
        self.close()

    def close(self) -> None:
        self.pause()
        if not self.closed:
            self.closed = True
            os.close(self.reader)
            if self.writer >= 0:
                os.close(self.writer)

    def _readable(self) -> None:
        if self._read_once() is None:
            self.close()
            self._ended()

    def _read_once(self) -> bool | None:
        """False when there is nothing to read now, None at the end of the pipe."""
        try:
            chunk = os.read(self.reader, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            return None
        self.total += len(chunk)
        kept = chunk[: self._room]
        if kept:
            self._room -= len(kept)
            self._deliver(Frame(self._kind, kept))
        if len(kept) < len(chunk):
            self.pause()
            self._draining = True
            self._ask_to_drain()
        return True
