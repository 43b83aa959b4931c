"""Containers that the engine may have and nobody here holds: they are removed as soon as it answers again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from executor_mcp.sandbox.errors import SandboxError, SandboxUnavailable

LATE_SECONDS = 120.0
"""A creation that was not answered is awaited so long, from when the engine first says that there is no such
container.
"""

_LONGEST_PAUSE_SECONDS = 10.0
_LAST_SECONDS = 5.0
_MOST = 1000
"""Beyond it the oldest are left for the next start, which finds them by their labels."""


@dataclass
class _Stray:
    may_come: bool
    missing_since: float | None = None


class Strays:
    """1. A creation that was not answered, or whose caller went away, is looked for by its name, which is its
    own: the engine may finish it long after.
    2. A removal that failed is tried again.
    3. One is forgotten when it is removed; or when the engine says that there is none, and that long enough.
    """

    def __init__(
        self,
        remove: Callable[[str], Awaitable[bool]],
        *,
        look_seconds: float = 1.0,
        late_seconds: float = LATE_SECONDS,
    ) -> None:
        """`remove` says whether there was such a container, and raises SandboxError while that is unknown.

        `look_seconds` is the first pause; it doubles up to ten seconds until there is a new one.
        """
        self._remove = remove
        self._look_seconds = look_seconds
        self._late_seconds = late_seconds
        self._strays: dict[str, _Stray] = {}
        self._task: asyncio.Task[None] | None = None
        self._pause = look_seconds

    def __len__(self) -> int:
        return len(self._strays)

    def not_answered(self, name: str) -> None:
        """Its creation was asked for: the container is there, or will be, or never."""
        self._add(name, _Stray(may_come=True))

    def not_removed(self, reference: str) -> None:
        """It was there, and its removal failed."""
        self._add(reference, _Stray(may_come=False))

    async def close(self) -> None:
        """Tries once more. What is left has this process's label, and is a leftover when it is gone."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_SECONDS):
                    await self._look()

    def _add(self, reference: str, stray: _Stray) -> None:
        if len(self._strays) >= _MOST:
            del self._strays[next(iter(self._strays))]
        self._strays[reference] = stray
        self._pause = self._look_seconds
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_looking())

    async def _keep_looking(self) -> None:
        while self._strays:
            pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)
            await self._look()

    async def _look(self) -> None:
        for reference, stray in tuple(self._strays.items()):
            try:
                was_there = await self._remove(reference)
            except SandboxUnavailable:
                # It would not answer for the others either.
                return
            except SandboxError:
                continue
            if was_there or self._is_over(stray):
                self._strays.pop(reference, None)

    def _is_over(self, stray: _Stray) -> bool:
        if not stray.may_come:
            return True
        now = time.monotonic()
        if stray.missing_since is None:
            stray.missing_since = now
        return now - stray.missing_since >= self._late_seconds
