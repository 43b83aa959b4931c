"""Where programs are analysed: small ones at once, where handing them to a thread would take longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import structlog

from hitl_contract.action import Action
from server_kit.small_values import is_small

T = TypeVar("T")


class AnalysisPlace:
    """Small actions are analysed on the event loop once `load` has brought in the analysers, which takes
    seconds and would hold everybody up; all others in threads.

    They are loaded beside the second action that is asked about: a process that runs one program does
    without.
    """

    def __init__(self, load: Callable[[], None]) -> None:
        self._load = load
        self._asked = 0
        self._loading: asyncio.Task[None] | None = None
        self.is_loaded = False
        self._log = structlog.get_logger("executor.analysis")

    async def run(self, action: Action, analyse: Callable[[], T]) -> T:
        """What `analyse` says of the action."""
        if self.is_loaded and is_small(action):
            return analyse()
        self._asked += 1
        if self._asked > 1 and self._loading is None:
            self._loading = asyncio.create_task(self._load_all())
        return await asyncio.to_thread(analyse)

    async def _load_all(self) -> None:
        try:
            await asyncio.to_thread(self._load)
        except Exception:
            # Then threads do it, as before.
            self._log.exception("analysers_not_loaded")
        else:
            self.is_loaded = True
