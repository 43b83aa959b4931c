"""`permission_prompt`: for Claude Code's `--permission-prompt-tool`."""

from __future__ import annotations

from typing import Final

from mcp_types import ToolAnnotations

from hitl_mcp.approvals.models import RequestRecord
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.interface.arguments import MAX_WAIT_SECONDS
from hitl_mcp.interface.permissions import HELD_SECONDS, PermissionAnswer, PermissionArguments, Permissions
from hitl_mcp.interface.views import ApprovalViews
from hitl_mcp.tools.tool import Call
from hitl_mcp.tools.waiting import Ladder
from server_kit.mcp_tools import ToolDefinition

_DESCRIPTION: Final = (
    "Asks people, under this server's rules, whether Claude Code may make one call of one of its tools. Not "
    "for you to call: give its name to Claude Code as --permission-prompt-tool."
)


def permission_prompt(
    service: ApprovalService, views: ApprovalViews, *, held_seconds: float = HELD_SECONDS
) -> ToolDefinition[Call, PermissionAnswer]:
    """The tool on this service. Its one client waits five minutes for a call without progress.

    It reads allow or deny alone, so a question that is asked back cannot reach it.
    """
    permissions = Permissions(service, views)
    ladder = Ladder(service, held_without_progress_seconds=held_seconds, or_asked=False)

    async def run(call: Call) -> PermissionAnswer:
        async def wait(record: RequestRecord) -> RequestRecord:
            url = views.review_url(record.request.request_id)
            return await ladder.wait(record, call.context, MAX_WAIT_SECONDS, review_url=url)

        return await permissions.answer(call.agent, dict(call.arguments), wait)

    return ToolDefinition(
        name="permission_prompt",
        title="Ask people for permission",
        description=_DESCRIPTION,
        input_schema=PermissionArguments.model_json_schema(),
        answer=PermissionAnswer,
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True
        ),
        run=run,
    )
