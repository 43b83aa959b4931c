"""`cancel_request`: withdraw a request that is no longer wanted."""

from __future__ import annotations

from typing import Final

from mcp_types import ToolAnnotations

from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.interface.answers import ApprovalAnswer
from hitl_mcp.interface.arguments import CancelRequestArguments, parse_arguments
from hitl_mcp.interface.views import ApprovalViews
from hitl_mcp.tools.tool import Call
from server_kit.mcp_tools import ToolDefinition

_NOTHING_CANCELLED: Final = "Nothing was cancelled, because:"


def cancel_request(service: ApprovalService, views: ApprovalViews) -> ToolDefinition[Call, ApprovalAnswer]:
    """The tool on this service."""

    async def run(call: Call) -> ApprovalAnswer:
        arguments = parse_arguments(CancelRequestArguments, call.arguments, consequence=_NOTHING_CANCELLED)
        record = await service.cancel(
            arguments.request_id, agent=call.agent, person=None, reason=arguments.reason
        )
        return views.without_token(record)

    return ToolDefinition(
        name="cancel_request",
        title="Withdraw a request",
        description="Withdraw a pending request for approval. People are told, and nobody can decide it.",
        input_schema=CancelRequestArguments.model_json_schema(),
        answer=ApprovalAnswer,
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
        ),
        run=run,
    )
