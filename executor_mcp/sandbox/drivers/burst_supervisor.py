"""Process 1 of a burst container: forks an execution into namespaces of its own whenever the host asks.

It has the interpreter loaded and never sees a program, its input or its output: those go between the host and
the execution, over a socket that it passes on. Messages, one datagram each, both ways:

- to here: SPAWN, the execution's number, its user, its bound on files in bytes and in names; with it the
  execution's end of its socket, and descriptors of the control groups that it is to join;
- from here: READY; BORN and a number, with a descriptor of the process; DIED, a number and a wait status;
  FAILED and a text.

1. It ends when the host closes the socket, and with it every execution.
2. An execution is reported as DIED when the kernel has ended and this process has reaped all of it.
3. It is undumpable, and outside of every namespace that a program can see.
"""

from __future__ import annotations

import array
import os
import select
import signal
import socket
import struct
import sys

from burst_execution import Birth, Preloaded, live
from burst_filter import INSTRUCTIONS
from burst_kernel import NEW_PROCESSES, Kernel
from burst_outer import enter
from supervisor_parts import RESULT_DESCRIPTOR
from warm_drivers import DRIVERS

READY, BORN, DIED, FAILED, SPAWN = b"R", b"B", b"D", b"F", b"S"
ORDER = struct.Struct(">IHQI")
NUMBER = struct.Struct(">I")
END = struct.Struct(">Ii")
MOST_DESCRIPTORS = 8


class BurstSupervisor:
    """Holds one descriptor for each execution that is alive, and nothing else of it."""

    def __init__(self, connection: socket.socket, preloaded: Preloaded) -> None:
        self._connection = connection
        self._preloaded = preloaded
        self._own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY)
        self._executions: dict[int, tuple[int, int]] = {}
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def serve(self) -> Birth | None:
        """None when the host is gone; in an execution's own process what it was born with."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._executions:
                    self._bury(descriptor)
                    continue
                message, descriptors, _, _ = socket.recv_fds(
                    self._connection, 1 + ORDER.size, MOST_DESCRIPTORS
                )
                if not message:
                    return None
                number, user, size, names = ORDER.unpack(message[1:])
                if self._spawn(number):
                    # A number from here on: an object would close it once more when the interpreter ends.
                    self._connection.detach()
                    return Birth(user, f"size={size},nr_inodes={names}", descriptors[0], descriptors[1:])
                for passed in descriptors:
                    os.close(passed)

    def _spawn(self, number: int) -> bool:
        """True in the new process."""
        kernel = self._preloaded.kernel
        kernel.unshare(NEW_PROCESSES)
        try:
            process = os.fork()
        except OSError:
            process = -1
        if process == 0:
            return True
        kernel.join(self._own_namespace, NEW_PROCESSES)
        if process == -1:
            self._connection.sendmsg([DIED + END.pack(number, -1)])
            return False
        handle = os.pidfd_open(process)
        self._executions[handle] = (number, process)
        self._poll.register(handle, select.POLLIN)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [handle]))]
        self._connection.sendmsg([BORN + NUMBER.pack(number)], rights)
        return False

    def _bury(self, handle: int) -> None:
        number, process = self._executions.pop(handle)
        self._poll.unregister(handle)
        os.close(handle)
        _, status = os.waitpid(process, 0)
        self._connection.sendmsg([DIED + END.pack(number, status)])


def main() -> None:
    socket_path, first, count, shares, fresh = sys.argv[1:6]
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    kernel = Kernel()
    enter(kernel, int(first), int(count), int(shares))
    nothing = os.open("/dev/null", os.O_RDWR)
    # The driver's results too go nowhere when it is tried; its descriptor must be nothing else's.
    for descriptor in range(RESULT_DESCRIPTOR + 1):
        os.dup2(nothing, descriptor)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(socket_path)
    birth: Birth | None = None
    preloaded: Preloaded | None = None
    try:
        preloaded = Preloaded({} if fresh == "fresh" else DRIVERS, INSTRUCTIONS)
        preloaded.dumpability.set(False)
        supervisor = BurstSupervisor(connection, preloaded)
        connection.sendmsg([READY])
        birth = supervisor.serve()
    except BrokenPipeError:
        return
    except Exception as error:
        connection.sendmsg([FAILED + f"{type(error).__name__}: {error}".encode()[:500]])
    if birth is not None and preloaded is not None:
        # Out here: a program that ends the interpreter in its own way passes through nothing of the above.
        live(preloaded, birth)


main()
