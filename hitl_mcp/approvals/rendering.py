"""Drawing an action without keeping everybody waiting."""

from __future__ import annotations

import asyncio
from typing import Final

from hitl_contract.action import Action
from hitl_contract.display import Display, render_action

_DRAWN_AT_ONCE_BYTES: Final = 65_536


async def rendered(action: Action, size: int) -> Display:
    """The display of an action whose canonical form has `size` bytes."""
    # Drawing megabytes takes seconds, during which everybody else would wait.
    if size <= _DRAWN_AT_ONCE_BYTES:
        return render_action(action)
    return await asyncio.to_thread(render_action, action)
