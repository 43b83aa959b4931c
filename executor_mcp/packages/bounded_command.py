"""Runs a tool that resolves or fetches packages: no input, a time, and its last words for an error."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Mapping
from pathlib import Path

from executor_mcp.packages.errors import PackageNotInstallable

_KEPT_OUTPUT = 4000
_CHUNK = 65536


async def run_bounded(
    tool: str,
    command: tuple[str, ...],
    *,
    directory: Path,
    environment: Mapping[str, str],
    seconds: float,
    file_bytes: int | None = None,
) -> str | None:
    """None when it ended well, else the end of what it said. No file that it writes exceeds `file_bytes`.

    Raises:
        PackageNotInstallable: it was not done in time.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        if file_bytes is not None:
            with contextlib.suppress(ProcessLookupError):  # It has ended already.
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
        async with asyncio.timeout(seconds):
            said = await _last_of(process.stderr)
            await process.wait()
    except TimeoutError as error:
        raise PackageNotInstallable(f"{tool} was not done within {seconds:g} s; try again") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return None
    return " ".join(said.decode("utf-8", "replace").split())[-_KEPT_OUTPUT:] or "it did not say why"


async def _last_of(stream: asyncio.StreamReader | None) -> bytes:
    kept = b""
    while stream is not None and (chunk := await stream.read(_CHUNK)):
        kept = (kept + chunk)[-4 * _KEPT_OUTPUT :]
    return kept
