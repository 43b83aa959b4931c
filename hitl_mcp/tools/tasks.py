"""The MCP Tasks extension (io.modelcontextprotocol/tasks, SEP-2663) over approval requests.

A request for approval is a task already: durable, with an id, with states. So the task id is the request id,
every replica serves every task, and nothing about tasks is stored. On revision 2026-07-28, for clients that
declare the extension with the request:

- `tools/call` of request_approval answers `resultType: "task"` while people have not decided;
- `tasks/get` is the state: working, completed with the tool's result, or cancelled;
- `tasks/cancel` withdraws the request;
- `tasks/update` is acknowledged: these tasks never ask the client for input.
"""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from collections.abc import Sequence
from typing import Any, Final

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver.server import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolRequestParams, CallToolResult, RequestParams
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field

from hitl_mcp.approvals.errors import AlreadyEnded, ApprovalError, RequestNotFound
from hitl_mcp.approvals.models import RequestRecord, RequestStatus
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.errors import CredentialRefused
from hitl_mcp.interface.views import ApprovalViews
from hitl_mcp.tools.principal import PrincipalResolver
from hitl_mcp.tools.request_approval import NAME
from hitl_mcp.tools.waiting import TASKS_EXTENSION, declares_tasks
from server_kit.mcp_tools import as_result

POLL_INTERVAL_MILLISECONDS: Final = 2000


class TaskParams(RequestParams):
    """Parameters of `tasks/get` and `tasks/cancel`."""

    task_id: str = Field(min_length=1, max_length=100)


class UpdateTaskParams(TaskParams):
    """Parameters of `tasks/update`."""

    input_responses: dict[str, Any]


class ApprovalTasks(Extension):
    """Serves the extension on an approval service."""

    identifier = TASKS_EXTENSION

    def __init__(self, service: ApprovalService, views: ApprovalViews, principal: PrincipalResolver) -> None:
        self._service = service
        self._views = views
        self._principal = principal

    def methods(self) -> Sequence[MethodBinding]:
        served = frozenset(MODERN_PROTOCOL_VERSIONS)
        return (
            MethodBinding("tasks/get", TaskParams, self._get, served),
            MethodBinding("tasks/update", UpdateTaskParams, self._update, served),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, served),
        )

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Turn a pending answer of request_approval into a task; leave everything else alone."""
        result = await call_next(ctx)
        if params.name != NAME or not declares_tasks(ctx):
            return result
        if not isinstance(result, CallToolResult) or result.is_error:
            return result
        answer: dict[str, Any] = result.structured_content
        if answer["status"] != RequestStatus.PENDING.value:
            return result
        agent = await self._principal.agent(ctx)
        record = await self._service.get_for_agent(agent, answer["request_id"])
        return {"resultType": "task", **_task(record, status="working")}

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        agent, record = await self._find(ctx, params.task_id)
        match record.request.status:
            case RequestStatus.PENDING:
                return _task(record, status="working")
            case RequestStatus.CANCELLED:
                return _task(record, status="cancelled")
            case (
                RequestStatus.APPROVED | RequestStatus.DENIED | RequestStatus.TIMEOUT | RequestStatus.ANSWERED
            ):
                result = as_result(await self._views.for_agent(agent, record))
                return {
                    **_task(record, status="completed"),
                    "result": result.model_dump(by_alias=True, mode="json", exclude_none=True),
                }

    async def _update(self, ctx: ServerRequestContext[Any, Any], params: UpdateTaskParams) -> dict[str, Any]:
        await self._find(ctx, params.task_id)
        return {}

    async def _cancel(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        agent, record = await self._find(ctx, params.task_id)
        try:
            await self._service.cancel(
                record.request.request_id, agent=agent, person=None, reason="The agent cancelled the task."
            )
        except AlreadyEnded:
            # Cancelling is a wish: a task that ended before it arrived is acknowledged all the same.
            pass
        except ApprovalError as error:
            raise MCPError(code=INVALID_PARAMS, message=str(error)) from error
        return {}

    async def _find(self, ctx: ServerRequestContext[Any, Any], task_id: str) -> tuple[str, RequestRecord]:
        require_client_extension(ctx, TASKS_EXTENSION)
        try:
            agent = await self._principal.agent(ctx)
            return agent, await self._service.get_for_agent(agent, task_id)
        except RequestNotFound:
            raise MCPError(code=INVALID_PARAMS, message="Task not found") from None
        except CredentialRefused as error:
            raise MCPError(code=INVALID_PARAMS, message=str(error)) from None


def _task(record: RequestRecord, *, status: str) -> dict[str, Any]:
    request = record.request
    changed_at = max(
        [request.created_at, *(decision.decided_at for decision in record.decisions)]
        + ([request.decided_at] if request.decided_at else [])
    )
    return {
        "taskId": request.request_id,
        "status": status,
        "statusMessage": _message(record),
        "createdAt": request.created_at.isoformat(),
        "lastUpdatedAt": changed_at.isoformat(),
        "ttlMs": None,
        "pollIntervalMs": POLL_INTERVAL_MILLISECONDS,
    }


def _message(record: RequestRecord) -> str:
    request = record.request
    if record.open_question is not None:
        return (
            "A person has a question: call check_status with the task id as request_id to read and answer it."
        )
    if request.status is RequestStatus.PENDING:
        return f"People have been asked; nobody has decided until {request.expires_at.isoformat()} ends it."
    return f"The request has ended: {request.status.value}."
