"""Asks on the database of this HITL_HOME itself, as `hitl mcp` does: for one agent named by who set it up."""

from __future__ import annotations

import asyncio
from typing import Any

from hitl_mcp.approvals.models import RequestRecord
from hitl_mcp.gate.home import open_home
from hitl_mcp.hook.asking import ServerDown, ServerRefused, question_of, verdict_of
from hitl_mcp.hook.events import ToolEvent, Verdict
from hitl_mcp.interface.permissions import Permissions
from hitl_mcp.policies.errors import PolicyRefused
from server_kit.errors import ServerError


def ask_at_home(agent: str, event: ToolEvent, *, wait_seconds: float) -> Verdict:
    """Ask, deliver the question when no server is up to do so, and wait at most `wait_seconds`.

    Raises:
        ServerDown: the home cannot be opened, or has no such agent.
        ServerRefused: its rules are refused.
    """
    return verdict_of(event, asyncio.run(_ask(agent, event, wait_seconds)))


async def _ask(agent: str, event: ToolEvent, wait_seconds: float) -> dict[str, Any]:
    try:
        async with open_home(agent) as application:

            async def wait(record: RequestRecord) -> RequestRecord:
                return await application.service.wait(record.request.request_id, wait_seconds)

            permissions = Permissions(application.service, application.views)
            answer = await permissions.answer(agent, question_of(event), wait, cwd=event.cwd)
            return answer.model_dump(mode="json")
    except PolicyRefused as error:
        raise ServerRefused(str(error)) from None
    except ServerError as error:
        raise ServerDown(str(error)) from None
