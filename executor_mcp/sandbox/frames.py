"""Frames between this process and the supervisor in a sandbox: `type (1) | length (4, big-endian) | payload`.

What arrives is not trusted: the supervisor shares its sandbox with the program. A frame longer than
`MAX_FRAME_BYTES` or of an unknown type is a `FrameError`, so a reader never holds more than one frame.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

MAX_FRAME_BYTES = 65536 + 8
_HEADER = struct.Struct(">BI")
HEADER_BYTES = _HEADER.size
_FILE_SIZE = struct.Struct(">Q")


class FrameError(Exception):
    """The sandbox sent what no supervisor sends."""


class FrameKind(IntEnum):
    """Sent by the sandbox up to CHECKPOINT, to the sandbox from JOB on; `drivers/supervisor.py` has the same
    numbers.
    """

    READY = 1
    STDOUT = 2
    STDERR = 3
    RESULT = 4
    EXITED = 5
    FILE = 6
    FILE_DATA = 7
    END = 8
    FAILED = 9
    NETWORK = 10
    CHECKPOINT = 11
    JOB = 65
    STOP = 66
    DRAIN = 67
    LOOK = 68
    OUTPUTS = 69


@dataclass(frozen=True)
class Frame:
    """`read_outside`, of EXITED: bytes of standard output and error that its report does not count."""

    kind: FrameKind
    payload: bytes = field(repr=False)
    read_outside: tuple[int, int] = (0, 0)


class ExactReader(Protocol):
    """`asyncio.StreamReader`, as far as frames need it."""

    async def readexactly(self, n: int, /) -> bytes:
        """Raises asyncio.IncompleteReadError at the end."""
        ...


def encode_frame(kind: FrameKind, payload: bytes = b"") -> bytes:
    return _HEADER.pack(kind, len(payload)) + payload


async def read_frame(reader: ExactReader) -> Frame | None:
    """The next frame, or None at the end of the stream, also when it ends within a frame. Raises
    FrameError.
    """
    try:
        kind, length = decode_header(await reader.readexactly(HEADER_BYTES))
        payload = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return Frame(kind, payload)


def decode_header(header: bytes) -> tuple[FrameKind, int]:
    """Kind and length of a frame that a sandbox sent. Raises FrameError."""
    number, length = _HEADER.unpack(header)
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {length} bytes")
    if not FrameKind.READY <= number <= FrameKind.CHECKPOINT:
        raise FrameError(f"a frame of the unknown type {number}")
    return FrameKind(number), length


def decode_file_header(payload: bytes) -> tuple[int, bytes]:
    """Size and raw path of a FILE frame."""
    if len(payload) <= _FILE_SIZE.size:
        raise FrameError("a file without a path")
    (size,) = _FILE_SIZE.unpack_from(payload)
    return size, payload[_FILE_SIZE.size :]
