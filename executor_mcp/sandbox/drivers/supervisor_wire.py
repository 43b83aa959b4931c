"""The supervisor's end of the frames; `executor_mcp.sandbox.frames` is the other one. Part of the
supervisor's source.
"""

from __future__ import annotations

import os
import struct

from supervisor_quick import dumps, loads, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Takes longer to load than most programs run.
    from typing import Any


def _sha256() -> Any:
    """The interpreter's own where it has one: hashlib's takes longer to load than most programs run."""
    try:
        return __import__("_sha256").sha256
    except ImportError:
        return __import__("hashlib").sha256


sha256 = _sha256()

READY, STDOUT, STDERR, RESULT, EXITED, FILE, FILE_DATA, END, FAILED, NETWORK, CHECKPOINT = range(1, 12)
JOB, STOP, DRAIN, LOOK, OUTPUTS = 65, 66, 67, 68, 69

FRAME_BYTES = 65536
HEADER = struct.Struct(">BI")
PASSED = struct.Struct("5i")


class Report:
    """Writes frames to the host; what is held goes with the next that is sent, in one piece."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._held = b""

    def send(self, kind: int, payload: bytes = b"") -> None:
        self._held += HEADER.pack(kind, len(payload)) + payload
        self.flush()

    def send_json(self, kind: int, value: object) -> None:
        self.send(kind, dumps(value))

    def hold_json(self, kind: int, value: object) -> None:
        payload = dumps(value)
        self._held += HEADER.pack(kind, len(payload)) + payload

    def flush(self) -> None:
        view, self._held = memoryview(self._held), b""
        while view:
            view = view[os.write(self._descriptor, view) :]


def read_exactly(descriptor: int, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def receive_outputs(descriptor: int) -> tuple[list[int], list[int], int]:
    """The writers and the readers of the program's standard output and error, and where `let_go` writes. The
    host has made them.
    """
    connection = socket.socket(fileno=descriptor)
    # What comes with descriptors is read alone: nothing of a later frame is in it.
    received, rights, _, _ = connection.recvmsg(HEADER.size, socket.CMSG_LEN(PASSED.size))
    connection.detach()
    if not received:
        os._exit(0)
    passed = [number for _, _, data in rights for number in PASSED.unpack(data)]
    received += read_exactly(descriptor, HEADER.size - len(received))
    if received != HEADER.pack(OUTPUTS, 0) or len(passed) != 5:
        raise ValueError("the first frame brings five descriptors")
    return passed[:2], passed[2:4], passed[4]


def let_go(start: int) -> None:
    """From here on the program may have run, whatever happens: the host can read it when nothing is left."""
    os.write(start, b"x")
    os.close(start)


def receive_job(descriptor: int) -> dict[str, Any]:
    kind, payload = receive(descriptor)
    if kind != JOB:
        raise ValueError("the second frame is a job")
    job: dict[str, Any] = loads(payload)
    return job


def receive(descriptor: int) -> tuple[int, bytes]:
    kind, length = HEADER.unpack(read_exactly(descriptor, HEADER.size))
    return kind, read_exactly(descriptor, length)
