"""The directory that holds a server's keys and files: made once, and refused when it cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

from server_kit.errors import HomeNotWritable


def make_home(home: Path) -> None:
    """Make the directory, for its owner alone. Raises HomeNotWritable."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise HomeNotWritable(
            f"the directory {home} cannot be made ({error.strerror}); set HITL_HOME to one you may write"
        ) from error
    require_writable(home)


def require_writable(home: Path) -> None:
    """Raises HomeNotWritable."""
    if not home.is_dir():
        raise HomeNotWritable(f"the directory {home} does not exist; run `hitl init`, or set HITL_HOME")
    if not os.access(home, os.W_OK | os.X_OK):
        raise HomeNotWritable(f"the directory {home} cannot be written; set HITL_HOME to one you may write")
