"""Which values are so small that looking through them holds nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar, cast

from pydantic import BaseModel

V = TypeVar("V")
T = TypeVar("T")

ON_THE_LOOP_CHARACTERS: Final = 4096
"""Texts of a value up to this size together are read at once, larger ones in a thread."""

_ANY_OTHER_VALUE: Final = 8


def is_small(value: object) -> bool:
    """Tell whether all texts of an action or a JSON value together are small; stops counting as soon as they
    are not.
    """
    left = ON_THE_LOOP_CHARACTERS
    waiting: list[object] = [value]
    while waiting:
        held = waiting.pop()
        if isinstance(held, str):
            left -= len(held)
        elif isinstance(held, BaseModel):
            waiting.extend(held.__dict__.values())
        elif isinstance(held, dict):
            members = cast("dict[str, object]", held)
            left -= sum(map(len, members)) + 1
            waiting.extend(members.values())
        elif isinstance(held, list | tuple):
            left -= 1
            waiting.extend(cast("list[object] | tuple[object, ...]", held))
        else:
            left -= _ANY_OTHER_VALUE
        if left < 0:
            return False
    return True


async def read_value(value: V, read: Callable[[V], T]) -> T:
    """What `read` says about the value: here and now for a small one, out of a thread for others."""
    if is_small(value):
        return read(value)
    return await asyncio.to_thread(read, value)
