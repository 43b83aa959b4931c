"""Passes connections from a port of the sandbox's loopback on to the door of its network. Part of the
supervisor.

Standard library only, Python 3.9 or later. Nothing is trusted to it: a program may open the door itself. It
is a child of the supervisor, ends with everything else in the sandbox, and counts with it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from typing import Any

PIECE_BYTES = 65536


class Side:
    """One end of a connection, with what waits to be written to it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.other: Side = self
        self.waiting = b""
        self.ended = False


def wanted(side: Side) -> int:
    events = selectors.EVENT_WRITE if side.waiting else 0
    if not side.ended and not side.other.waiting:
        events |= selectors.EVENT_READ
    return events


class Forwarder:
    def __init__(self, listener: socket.socket, door: str) -> None:
        self._listener = listener
        self._door = door
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)

    def serve(self) -> None:
        while True:
            for key, events in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.data is not None:
                    self._step(key.data, events)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        upstream = socket.socket(socket.AF_UNIX)
        try:
            upstream.connect(self._door)
        except OSError:
            client.close()
            upstream.close()
            return
        sides = Side(client), Side(upstream)
        sides[0].other, sides[1].other = sides[1], sides[0]
        for side in sides:
            side.connection.setblocking(False)
            self._selector.register(side.connection, selectors.EVENT_READ, side)

    def _step(self, side: Side, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                side.waiting = side.waiting[side.connection.send(side.waiting) :]
            if events & selectors.EVENT_READ and not side.other.waiting:
                piece = side.connection.recv(PIECE_BYTES)
                side.ended = not piece
                side.other.waiting = piece
        except BlockingIOError:
            pass
        except OSError:
            side.ended, side.waiting, side.other.waiting = True, b"", b""
        self._settle(side)

    def _settle(self, side: Side) -> None:
        ends = (side, side.other)
        if any(one.ended and not one.other.waiting for one in ends):
            for one in ends:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(one.connection)
                one.connection.close()
            return
        for one in ends:
            events = wanted(one)
            registered = one.connection in self._selector.get_map()
            if events and registered:
                self._selector.modify(one.connection, events, one)
            elif events:
                self._selector.register(one.connection, events, one)
            elif registered:
                self._selector.unregister(one.connection)


def start_forwarder(job: dict[str, Any]) -> None:
    """Listens before it returns. The child keeps no descriptor of the supervisor but standard error."""
    listener = socket.create_server(("127.0.0.1", job["port"]), backlog=64)
    if os.fork() == 0:
        try:
            os.closerange(3, listener.fileno())
            os.closerange(listener.fileno() + 1, 1024)
            os.setsid()
            Forwarder(listener, job["door"]).serve()
        finally:
            os._exit(1)
    listener.close()
