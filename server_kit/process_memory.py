"""Keeping this process's memory to itself."""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path
from typing import Final

_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4


def keep_memory_private() -> None:
    """Refuse debuggers, /proc/PID/mem and core dumps of this process, until it executes another program.

    prctl(2): the kernel then gives the process's /proc entries to root, so that another process of the same
    user can neither read its memory nor attach to it. Root still can. Elsewhere than on Linux only core dumps
    are turned off.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if Path("/proc/self/status").exists():
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def memory_is_private() -> bool:
    """Whether `keep_memory_private` is in force."""
    return ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0
