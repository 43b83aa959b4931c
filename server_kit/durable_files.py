"""Files that are written whole or not at all, and are on the disk when the writing is said to be done."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

PRIVATE_MODE: Final = 0o600


def replace_durably(path: Path, content: bytes) -> None:
    """Put `content` at `path`, readable by its owner alone: after a crash there is the old file or the new.

    Blocks on the disk. Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_MODE
    )
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, PRIVATE_MODE)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
