"""Where tests keep their files: in memory where there is room, as a disk is what they would wait for most.

Files, SQLite and PostgreSQL are real all the same.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 2 * 1024**3


def quick_directory() -> Path:
    """Shared memory that has room and lets programs start, or else the system's directory for such files."""
    if _SHARED_MEMORY.is_dir() and os.access(_SHARED_MEMORY, os.W_OK):
        starts_programs = not os.statvfs(_SHARED_MEMORY).f_flag & os.ST_NOEXEC
        if starts_programs and shutil.disk_usage(_SHARED_MEMORY).free >= _ROOM_BYTES:
            return _SHARED_MEMORY
    return Path(tempfile.gettempdir())
