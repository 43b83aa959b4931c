"""Which actions are so small that looking through them holds nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar, cast

from pydantic import BaseModel

from hitl_contract.action import Action

T = TypeVar("T")

ON_THE_LOOP_CHARACTERS: Final = 4096
"""Texts of an action up to this size together are read at once, larger ones in a thread."""

_ANY_OTHER_VALUE: Final = 8


def is_small(action: Action) -> bool:
    """Tell whether all texts of an action together are small; stops counting as soon as they are not."""
    left = ON_THE_LOOP_CHARACTERS
    waiting: list[object] = [action]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            left -= len(value)
        elif isinstance(value, BaseModel):
            waiting.extend(value.__dict__.values())
        elif isinstance(value, dict):
            held = cast("dict[str, object]", value)
            left -= sum(map(len, held))
            waiting.extend(held.values())
        elif isinstance(value, list | tuple):
            waiting.extend(cast("list[object] | tuple[object, ...]", value))
        else:
            left -= _ANY_OTHER_VALUE
        if left < 0:
            return False
    return True


async def read_action(action: Action, read: Callable[[Action], T]) -> T:
    """What `read` says about the action: here and now for a small one, out of a thread for others."""
    if is_small(action):
        return read(action)
    return await asyncio.to_thread(read, action)
