"""Frames over the socket of a warm container, in both directions, nothing between them and the kernel."""

from __future__ import annotations

import array
import asyncio
import socket
from collections.abc import Callable, Sequence

from executor_mcp.sandbox.frames import HEADER_BYTES, Frame, FrameError, decode_header

_CHUNK_BYTES = 1 << 17
_SEND_BUFFER_BYTES = 1 << 20


class ControlSocket:
    """`taken` is called with each frame, `ended` once: at the end, or with the error that broke the rules."""

    def __init__(
        self,
        connection: socket.socket,
        *,
        taken: Callable[[Frame], None],
        ended: Callable[[FrameError | None], None],
    ) -> None:
        self._connection = connection
        self._taken = taken
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._unsent: list[bytes] = []
        self._reading = False
        self._writing = False
        self.closed = False
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self.resume()

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Never blocks; what the kernel does not take now is sent when it does."""
        if self.closed:
            return
        sent = 0
        if not self._unsent:
            try:
                sent = self._send_now(data, descriptors)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._end(None)
                return
        if sent < len(data):
            self._unsent.append(data[sent:])
            self._watch_writable()

    def pause(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._connection)

    def resume(self) -> None:
        if not (self._reading or self.closed):
            self._reading = True
            self._loop.add_reader(self._connection, self._readable)

    def close(self) -> None:
        if self.closed:
            return
        self.pause()
        if self._writing:
            self._loop.remove_writer(self._connection)
        self.closed = True
        self._connection.close()

    def _send_now(self, data: bytes, descriptors: Sequence[int]) -> int:
        if not descriptors:
            return self._connection.send(data)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        return self._connection.sendmsg([data], [rights])

    def _readable(self) -> None:
        try:
            chunk = self._connection.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._end(None)
            return
        self._buffer += chunk
        try:
            self._parse()
        except FrameError as error:
            self._end(error)

    def _parse(self) -> None:
        place = 0
        while len(self._buffer) - place >= HEADER_BYTES:
            kind, length = decode_header(bytes(self._buffer[place : place + HEADER_BYTES]))
            end = place + HEADER_BYTES + length
            if len(self._buffer) < end:
                break
            frame = Frame(kind, bytes(self._buffer[place + HEADER_BYTES : end]))
            place = end
            self._taken(frame)
        del self._buffer[:place]

    def _end(self, error: FrameError | None) -> None:
        self.close()
        self._ended(error)

    def _watch_writable(self) -> None:
        if not self._writing:
            self._writing = True
            self._loop.add_writer(self._connection, self._writable)

    def _writable(self) -> None:
        try:
            while self._unsent:
                sent = self._connection.send(self._unsent[0])
                if sent < len(self._unsent[0]):
                    self._unsent[0] = self._unsent[0][sent:]
                    return
                self._unsent.pop(0)
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()
        self._writing = False
        self._loop.remove_writer(self._connection)
