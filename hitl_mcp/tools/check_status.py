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

_NOT_LOOKED_UP: Final = "The request was not looked up and no answer was kept, because:"


def check_status(
    service: ApprovalService, views: ApprovalViews, ladder: Ladder
) -> ToolDefinition[Call, ApprovalAnswer]:
    """The tool on this service."""

    async def run(call: Call) -> ApprovalAnswer:
        arguments = parse_arguments(CheckStatusArguments, call.arguments, consequence=_NOT_LOOKED_UP)
        if arguments.answer is None:
            record = await service.get_for_agent(call.agent, arguments.request_id)
        else:
            record = await service.reply(call.agent, arguments.request_id, arguments.answer)
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
            "wait_seconds the call is held until a person has decided or that time has passed. When a person "
            "asks you something before deciding, it is in questions: give your answer as answer."
        ),
        input_schema=CheckStatusArguments.model_json_schema(),
        answer=ApprovalAnswer,
        # Reads, but for an answer that is given; an answer is kept once and undoes nothing.
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
        run=run,
    )
