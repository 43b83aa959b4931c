"""The two audit chains, verified by the commands that anybody may use, and what they say about what ran."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, cast

from hitl_mcp.demo.failures import StepFailed, first_failure
from hitl_mcp.demo.narrator import Narrator
from hitl_mcp.demo.world import World

_STARTED: Final = "execution.started"
_REFUSED: Final = "execution.refused"


async def verify_records(world: World, narrator: Narrator, *, refusals: int) -> None:
    """
    Raises:
        StepFailed: a chain does not verify, or tells of another number of runs or refusals.
    """
    with first_failure():
        async with asyncio.TaskGroup() as together:
            approvals = together.create_task(world.run("hitl", "audit", "verify", "--json"))
            executor = together.create_task(_export_and_verify(world))
    exported, executions = executor.result()
    for name, text in (("approval server", approvals.result()), ("executor", executions)):
        report = cast("dict[str, Any]", json.loads(text))
        step = f"The audit chain of the {name} verifies"
        if report.get("intact") is not True:
            raise StepFailed(step, text.strip()[:300])
        narrator.held_true(step, f"{report['entries']} entries, {report['checkpoints']} signed checkpoints")
    events = [cast("dict[str, Any]", json.loads(line)) for line in exported.splitlines() if line.strip()]
    started = _count(events, _STARTED)
    step = "The record knows one run and every refusal"
    if started != 1 or _count(events, _REFUSED) != refusals:
        raise StepFailed(step, f"{started} runs and {_count(events, _REFUSED)} refusals are on record")
    narrator.held_true(step, f"{started} started, {refusals} refused")


async def _export_and_verify(world: World) -> tuple[str, str]:
    # In this order: the export signs what was not signed yet.
    exported = await world.run("hitl-executor", "audit", "export")
    return exported, await world.run("hitl-executor", "audit", "verify", "--json")


def _count(events: list[dict[str, Any]], name: str) -> int:
    return sum(
        name in (event.get("event"), cast("dict[str, Any]", event.get("entry", {})).get("event"))
        for event in events
    )
