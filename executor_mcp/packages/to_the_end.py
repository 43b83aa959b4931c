"""Work in a thread that fills a directory comes to its end before the directory goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_its_end(work: Coroutine[Any, Any, T], give_up: Callable[[], None] = lambda: None) -> T:
    """A cancellation tells the work to give up, and waits until it has."""
    working = asyncio.create_task(work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        give_up()
        await asyncio.gather(working, return_exceptions=True)
        raise
