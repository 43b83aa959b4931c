"""`list_requests`: the calling agent's own requests."""

from __future__ import annotations

from typing import Final

from mcp_types import ToolAnnotations

from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.interface.answers import ApprovalList
from hitl_mcp.interface.arguments import ListRequestsArguments, parse_arguments
from hitl_mcp.interface.views import ApprovalViews
from hitl_mcp.tools.tool import Call
from server_kit.mcp_tools import ToolDefinition

_NOTHING_LISTED: Final = "Nothing was listed, because:"


def list_requests(service: ApprovalService, views: ApprovalViews) -> ToolDefinition[Call, ApprovalList]:
    """The tool on this service."""

    async def run(call: Call) -> ApprovalList:
        arguments = parse_arguments(ListRequestsArguments, call.arguments, consequence=_NOTHING_LISTED)
        page = await service.list_for_agent(
            call.agent, status=arguments.status, limit=arguments.limit, cursor=arguments.cursor
        )
        return ApprovalList(
            requests=tuple(views.without_token(record) for record in page.records),
            next_cursor=page.next_cursor,
        )

    return ToolDefinition(
        name="list_requests",
        title="List your requests",
        description=(
            "Your own requests for approval, newest first, without tokens: call check_status for one of them."
        ),
        input_schema=ListRequestsArguments.model_json_schema(),
        answer=ApprovalList,
        annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
        run=run,
    )
