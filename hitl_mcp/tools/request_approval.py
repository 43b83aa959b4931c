"""`request_approval`: ask people to allow one exact action."""

from __future__ import annotations

from typing import Any, Final, cast

from mcp_types import ToolAnnotations

from hitl_contract.action import action_json_schema
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.interface.answers import ApprovalAnswer
from hitl_mcp.interface.arguments import RequestApprovalArguments, parse_submission
from hitl_mcp.interface.views import ApprovalViews
from hitl_mcp.tools.tool import Call
from hitl_mcp.tools.waiting import Ladder, declares_tasks, default_wait_seconds
from server_kit.mcp_tools import ToolDefinition

NAME: Final = "request_approval"
_NOTHING_STORED: Final = "Nobody was asked and nothing was stored, because:"
_DESCRIPTION: Final = (
    "Ask people to approve one exact action before it is done. Describe the action completely: what is "
    "approved is its digest, and nothing else can be done with the approval. Returns status APPROVED with a "
    "capability_token for the executor, or DENIED, TIMEOUT, CANCELLED, or PENDING when nobody has decided "
    "yet: then call check_status. Calling again with the same idempotency_key or the same action returns the "
    "same request and asks nobody twice."
)


def request_approval(
    service: ApprovalService, views: ApprovalViews, ladder: Ladder
) -> ToolDefinition[Call, ApprovalAnswer]:
    """The tool on this service."""

    async def run(call: Call) -> ApprovalAnswer:
        arguments, submission = parse_submission(call.arguments, consequence=_NOTHING_STORED)
        record = await service.submit(call.agent, submission)
        if declares_tasks(call.context.request_context):
            return await views.for_agent(call.agent, record)
        wait_seconds = arguments.wait_seconds
        if wait_seconds is None:
            wait_seconds = default_wait_seconds(call.context)
        record = await ladder.wait(
            record, call.context, wait_seconds, review_url=views.review_url(record.request.request_id)
        )
        return await views.for_agent(call.agent, record)

    return ToolDefinition(
        name=NAME,
        title="Ask people for approval",
        description=_DESCRIPTION,
        input_schema=_input_schema(),
        answer=ApprovalAnswer,
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True
        ),
        run=run,
    )


def _input_schema() -> dict[str, Any]:
    """The arguments' schema with the contract's own schema of an action in it."""
    schema = RequestApprovalArguments.model_json_schema()
    action = cast("dict[str, Any]", action_json_schema())
    definitions = {**schema.pop("$defs", {}), **action.pop("$defs", {})}
    stated = schema["properties"]["action"]
    schema["properties"]["action"] = {
        **action,
        "description": stated["description"],
        "title": stated.get("title", "Action"),
    }
    return {**schema, "$defs": definitions}
