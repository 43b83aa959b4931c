"""Starts a command that is asked to stop when the process that started it is gone, however it went.

    python tether.py PARENT_PID COMMAND [ARGUMENT ...]

Without it a `hitl up` ended by SIGKILL would leave both servers up, with nobody to stop them. Linux only: the
kernel sends the signal (prctl(2), PR_SET_PDEATHSIG), and the setting outlives execve.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def main(arguments: list[str]) -> None:
    """Replace this process by the command."""
    parent, *command = arguments
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # The parent may have gone before the kernel was told.
    if os.getppid() == int(parent):
        os.execv(command[0], command)  # noqa: S606 - the caller's own command, and no shell


if __name__ == "__main__":
    main(sys.argv[1:])
