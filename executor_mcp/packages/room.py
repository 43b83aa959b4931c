"""Work that fills a directory is ended when it takes more room than it may."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from executor_mcp.packages.errors import PackageNotInstallable

T = TypeVar("T")
_LOOK_SECONDS: Final = 0.25
_BLOCK: Final = 512


async def within_room(work: Coroutine[Any, Any, T], directory: Path, most_bytes: int) -> T:
    """Look four times a second, and once at the end. Raises PackageNotInstallable."""
    working = asyncio.create_task(work)
    try:
        while not working.done():
            await asyncio.wait({working}, timeout=_LOOK_SECONDS)
            if await asyncio.to_thread(room_taken, directory) > most_bytes:
                raise PackageNotInstallable(
                    f"its files take more than {most_bytes // 1024**2} MiB (packages.additions.disk_mb)"
                )
        return working.result()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


def room_taken(directory: Path) -> int:
    """Bytes on the disk. What goes away meanwhile is not counted."""
    total = 0
    for parent, _, files in os.walk(directory):
        for name in files:
            try:
                total += (Path(parent) / name).lstat().st_blocks * _BLOCK
            except FileNotFoundError:
                continue
    return total
