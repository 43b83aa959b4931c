"""A program's standard output or error as a pipe that this process reads, up to a bound.

The program writes into the pipe itself. Once the bound is reached nobody reads here any more: the supervisor
in the sandbox is asked to read and drop, at the sandbox's expense, so a flood costs this process no more than
the bound.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import termios
from collections.abc import Callable

from executor_mcp.sandbox.frames import Frame, FrameKind

_CHUNK_BYTES = 65536


class OutputPipe:
    """`deliver` gets what is within the bound, `ask_to_drain` is called when it is reached."""

    def __init__(
        self, kind: FrameKind, *, deliver: Callable[[Frame], None], ask_to_drain: Callable[[], None]
    ) -> None:
        self._kind = kind
        self._bound = 0
        self._deliver = deliver
        self._ask_to_drain = ask_to_drain
        self._loop = asyncio.get_running_loop()
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._reading = False
        self._draining = False
        self._finished = False
        self.total = 0
        self.closed = False

    def pass_on(self) -> None:
        """The sandbox has both ends now: this process keeps the reader alone."""
        os.close(self.writer)
        self.writer = -1

    def keep(self, bound: int) -> None:
        """So many bytes of what is going to be written."""
        self._bound = bound

    def pause(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self.reader)

    def resume(self) -> None:
        if not (self._reading or self._draining or self.closed):
            self._reading = True
            self._loop.add_reader(self.reader, self._readable)

    def finish(self) -> None:
        """Nothing writes any more: what is there is read, and kept within the bound; nothing after it.

        That is the sandbox's word: from one that goes on writing no more is taken than is there now.
        """
        if not (self.closed or self._finished):
            most = self.total + int.from_bytes(
                fcntl.ioctl(self.reader, termios.FIONREAD, b"1234"), sys.byteorder
            )
            while self.total < most and self._read_once():
                continue
        self._finished = True

    def close(self) -> None:
        self.pause()
        if not self.closed:
            self.closed = True
            os.close(self.reader)
            if self.writer >= 0:
                os.close(self.writer)

    def _readable(self) -> None:
        if self._finished or self._read_once() is None:
            self.close()
        elif self.total > self._bound:
            self.pause()
            self._draining = True
            self._ask_to_drain()

    def _read_once(self) -> bool | None:
        """False when there is nothing to read now, None at the end of the pipe."""
        try:
            chunk = os.read(self.reader, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            return None
        kept = chunk[: max(0, self._bound - self.total)]
        self.total += len(chunk)
        if kept:
            self._deliver(Frame(self._kind, kept))
        return True
