"""Control groups of this host, made and taken away."""

from __future__ import annotations

import asyncio
import secrets
import threading
from pathlib import Path

import pytest

from executor_mcp.sandbox.amounts import Amounts
from executor_mcp.sandbox.control_groups import ControlGroup, ControlGroups
from executor_mcp.sandbox.owner import Owner
from hitl_contract.action_code import Limits


async def test_a_caller_that_is_cancelled_leaves_no_control_group(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = await asyncio.to_thread(ControlGroups.find, Owner.current())
    assert groups is not None
    begun, may_go_on = asyncio.Event(), threading.Event()
    loop, made = asyncio.get_running_loop(), list[Path]()
    limit = ControlGroup.limit

    def slowly(group: ControlGroup, amounts: Amounts) -> None:
        made.extend(group.directories)
        loop.call_soon_threadsafe(begun.set)
        assert may_go_on.wait(20)
        limit(group, amounts)

    monkeypatch.setattr(ControlGroup, "limit", slowly)
    caller = asyncio.create_task(groups.make(f"test-{secrets.token_hex(8)}", Amounts.of(Limits(), 0)))
    await begun.wait()
    assert all(directory.exists() for directory in made)
    caller.cancel()
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert made
    assert not [directory for directory in made if directory.exists()]
