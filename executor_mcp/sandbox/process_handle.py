"""A process of this host held by descriptor, so that a signal can reach no other one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import struct

_CREDENTIALS = struct.Struct("3i")
"""`struct ucred` of unix(7): process, user, group."""


class ProcessHandle:
    """Readable once the process has ended, and with process 1 of a namespace everything in it."""

    def __init__(self, process: int) -> None:
        """Raises OSError when there is no such process."""
        self._descriptor = os.pidfd_open(process)
        self.process = process
        self._closed = False

    @classmethod
    def of_peer(cls, connection: socket.socket) -> ProcessHandle | None:
        """Who connected this socket, or made the listener it was accepted from.

        None where this process cannot see it, as from another process namespace.
        """
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process, _, _ = _CREDENTIALS.unpack(credentials)
        try:
            return cls(process) if process > 0 else None
        except OSError:
            return None

    @property
    def has_ended(self) -> bool:
        if self._closed:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def kill(self) -> None:
        """Raises PermissionError when the process belongs to somebody else."""
        if not self._closed:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    async def wait(self, seconds: float) -> bool:
        """False when it has not ended by then."""
        if self.has_ended:
            return True
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        # A second descriptor of the same process: each waiter has its own place in the event loop.
        descriptor = os.dup(self._descriptor)
        loop.add_reader(descriptor, lambda: None if ended.done() else ended.set_result(None))
        try:
            async with asyncio.timeout(seconds):
                await ended
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return True

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self._descriptor)
