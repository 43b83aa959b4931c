"""`check_status`: how a request stands, and its token once it is approved."""

from __future__ import annotations

from typing import Final

from mcp_types import ToolAnnotations

from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.interface.answers import ApprovalAnswer
from hitl_mcp.interface.arguments import CheckStatusArguments, parse_arguments
from hitl_mcp.interface.views import ApprovalViews
from hitl_mcp.tools.tool import Call
from hitl_mcp.tools.waiting import Ladder
from server_kit.mcp_tools import ToolDefinition

_NOT_LOOKED_UP: Final = "The request was not looked up, because:"


def check_status(
    service: ApprovalService, views: ApprovalViews, ladder: Ladder
) -> ToolDefinition[Call, ApprovalAnswer]:
    """The tool on this service."""

    async def run(call: Call) -> ApprovalAnswer:
        arguments = parse_arguments(CheckStatusArguments, call.arguments, consequence=_NOT_LOOKED_UP)
        record = await service.get_for_agent(call.agent, arguments.request_id)
        record = await ladder.wait(
            record,
            call.context,
            arguments.wait_seconds or 0,
            review_url=views.review_url(record.request.request_id),
        )
        return await views.for_agent(call.agent, record)

    return ToolDefinition(
        name="check_status",
        title="See how a request stands",
        description=(
            "How a request for approval stands, with capability_token while it is APPROVED. With "
            "wait_seconds the call is held until a person has decided or that time has passed."
        ),
        input_schema=CheckStatusArguments.model_json_schema(),
        answer=ApprovalAnswer,
        annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
        run=run,
    )
