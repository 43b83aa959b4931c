"""Telling a host that has no processes left from a defect."""

from __future__ import annotations

import os
from errno import EAGAIN
from typing import Final

ADVICE: Final = (
    "the host lets this executor start no more processes or threads (out of pids); raise its limit "
    "(TasksMax, pids.max or ulimit -u) or wait until others have ended"
)

_SAID_BY_TOOLS: Final = (os.strerror(EAGAIN), "Cannot fork")
"""bwrap says the kernel's word, the shell before it its own."""


def is_out_of_processes(error: BaseException) -> bool:
    """Python raises a bare RuntimeError where a thread cannot be started; the kernel's own word is EAGAIN."""
    if isinstance(error, RuntimeError):
        return "can't start new thread" in str(error)
    return isinstance(error, OSError) and error.errno == EAGAIN


def why_not_started(error: BaseException, written: str | None = None) -> str:
    """For people: what kept a program from starting, by the error or the line that its first stage wrote."""
    if is_out_of_processes(error) or any(word in (written or "") for word in _SAID_BY_TOOLS):
        return ADVICE
    return written or str(error)
