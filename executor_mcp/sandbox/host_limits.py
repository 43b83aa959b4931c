"""Telling a host that has no processes left from a defect."""

from __future__ import annotations

from errno import EAGAIN
from typing import Final

ADVICE: Final = (
    "the host lets this executor start no more processes or threads (out of pids); raise its limit "
    "(TasksMax, pids.max or ulimit -u) or wait until others have ended"
)


def is_out_of_processes(error: BaseException) -> bool:
    """Python raises a bare RuntimeError where a thread cannot be started; the kernel's own word is EAGAIN."""
    if isinstance(error, RuntimeError):
        return "can't start new thread" in str(error)
    return isinstance(error, OSError) and error.errno == EAGAIN
