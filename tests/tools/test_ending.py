"""A server that ends lets those who wait go first, with an answer."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from tests.timers.test_calls import until
from tests.tools.served import make_template
from tests.web.pages import ask


def _somebody_waits() -> bool:
    waits = (task.get_coro() for task in asyncio.all_tasks())
    return any("WaitingRoom._observe" in getattr(wait, "__qualname__", "") for wait in waits)


async def test_a_call_that_waits_is_answered_before_the_server_ends(tmp_path: Path) -> None:
    template = await asyncio.to_thread(make_template, tmp_path / "made")
    async with AsyncExitStack() as calling:
        async with template.served(tmp_path / "home") as server:
            agent = await calling.enter_async_context(server.agent())
            path = f"/api/v1/approvals/{await ask(server)}/wait"
            call = asyncio.create_task(agent.get(path, params={"timeout_seconds": 25}))
            await until(_somebody_waits)
        answer = await call
    assert (answer.status_code, answer.json()["status"]) == (200, "PENDING")
