"""`hitl demo`: opens the world, tells the story in it, and counts the time."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from rich.console import Console

from hitl_mcp.demo.narrator import Narrator
from hitl_mcp.demo.story import Decider, Story
from hitl_mcp.demo.world import open_world


async def run_demonstration(console: Console, decide: Decider, *, sandbox: str) -> tuple[str, ...]:
    """Tells the whole story. Returns what was shown to hold.

    Raises:
        StepFailed: something did not hold; it names the step.
        Declined: the person said no.
        ProcessFailed: a server did not come up.
    """
    began = time.monotonic()
    narrator = Narrator(console)
    narrator.opening()
    async with AsyncExitStack() as stack:
        with narrator.waiting("starting both servers in a temporary home"):
            world = await stack.enter_async_context(open_world(sandbox))
        await Story(world, narrator, decide).run()
    narrator.closing(time.monotonic() - began)
    return narrator.held
