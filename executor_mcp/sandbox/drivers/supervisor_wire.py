"""The supervisor's end of the frames; `executor_mcp.sandbox.frames` is the other one. Part of the
supervisor's source.
"""

from __future__ import annotations

import json
import os
import struct
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Takes longer to load than most programs run.
    from typing import Any


def _sha256() -> Any:
    """The interpreter's own where it has one: hashlib's takes longer to load than most programs run."""
    try:
        return import_module("_sha256").sha256
    except ImportError:
        return import_module("hashlib").sha256


sha256 = _sha256()

READY, STDOUT, STDERR, RESULT, EXITED, FILE, FILE_DATA, END, FAILED, BEGUN, NETWORK, CHECKPOINT = range(1, 13)
JOB, STOP, DRAIN, LOOK = 65, 66, 67, 68

FRAME_BYTES = 65536


class Report:
    """Writes frames to the host; what is held goes with the next that is sent, in one piece."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._held = b""

    def send(self, kind: int, payload: bytes = b"") -> None:
        self._held += struct.pack(">BI", kind, len(payload)) + payload
        self.flush()

    def send_json(self, kind: int, value: object) -> None:
        self.send(kind, json.dumps(value).encode())

    def hold_json(self, kind: int, value: object) -> None:
        payload = json.dumps(value).encode()
        self._held += struct.pack(">BI", kind, len(payload)) + payload

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


def receive(descriptor: int) -> tuple[int, bytes]:
    kind, length = struct.unpack(">BI", read_exactly(descriptor, 5))
    return kind, read_exactly(descriptor, length)
