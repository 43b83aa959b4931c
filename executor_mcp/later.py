"""Work that is done only for a program that lasts: for most there is none of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Later:
    """Begins `work` after `seconds`, unless it was stopped before. A timer until then, and no task."""

    def __init__(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(seconds, self._begin)

    @property
    def has_begun(self) -> bool:
        return self._task is not None

    async def stop(self) -> None:
        """What was asked of the database by then comes before what is asked afterwards."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._work())
