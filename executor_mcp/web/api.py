"""The REST API: thin over the service, with the answers of the MCP tools."""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Header, Query, Request, WebSocket
from fastapi.responses import Response

from executor_mcp.execution_feed import Readers
from executor_mcp.interface.answers import ExecutionAnswer, ExecutionList, LanguagesAnswer, ValidationAnswer
from executor_mcp.interface.arguments import ExecuteArguments, ValidateCodeArguments
from executor_mcp.interface.events import read_identifier
from executor_mcp.interface.views import execution_answer, execution_list, languages, validation
from executor_mcp.service import ExecutionService
from executor_mcp.storage.executions import FileContent
from executor_mcp.tools.caller import AGENT_SCOPE_KEY, require_agent
from executor_mcp.web.event_stream import EventStream, serve_websocket

HELD_SECONDS: Final = 45.0
_CANCEL_PATIENCE_SECONDS: Final = 10.0
# A file is whatever a stranger's program wrote: a browser must save it, never show or run it.
_INERT: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}

LastEventId = Annotated[
    str | None, Header(max_length=40, description="The id of the last event that was received")
]
WaitSeconds = Annotated[float, Query(ge=0, le=3600, description="Hold the answer until the end, in seconds")]


def api_router(service: ExecutionService) -> APIRouter:
    """The routes under /api/v1."""
    router = APIRouter(prefix="/api/v1", tags=["executions"])
    readers = Readers()

    async def answer(execution_id: str, wait_seconds: float = 0.0) -> ExecutionAnswer:
        execution = await service.get(execution_id, wait_seconds=wait_seconds)
        return execution_answer(execution, service.live(execution_id))

    @router.post("/execute")
    async def execute(body: ExecuteArguments) -> ExecutionAnswer:
        """Run what the token allows, once. Holds for the end up to `wait_seconds` (45)."""
        execution_id = await service.execute(body.capability_token, body.action)
        return await answer(execution_id, HELD_SECONDS if body.wait_seconds is None else body.wait_seconds)

    @router.post("/validate")
    async def validate(request: Request, body: ValidateCodeArguments) -> ValidationAnswer:
        """What would be refused in an action, and what static analysis finds. Runs nothing."""
        return validation(await service.validate(body.action, agent=request.scope.get(AGENT_SCOPE_KEY)))

    @router.get("/languages")
    async def list_languages() -> LanguagesAnswer:
        """Languages, sandbox, limits and profiles."""
        description, policy = await service.describe()
        return languages(description, policy, service.additions)

    @router.get("/executions")
    async def list_executions(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        active: Annotated[bool, Query(description="Only what has not ended")] = False,
    ) -> ExecutionList:
        """What ran under tokens of the agent whose API key came with the request, newest first."""
        agent = require_agent(request.scope.get(AGENT_SCOPE_KEY))
        return execution_list(await service.list_of_agent(agent, limit=limit, cursor=cursor, active=active))

    @router.get("/executions/{execution_id}")
    async def get_execution(execution_id: str, wait_seconds: WaitSeconds = 0.0) -> ExecutionAnswer:
        """One execution; its id is the right to read it."""
        return await answer(execution_id, wait_seconds)

    @router.post("/executions/{execution_id}/cancel")
    async def cancel_execution(execution_id: str) -> ExecutionAnswer:
        """Stop the program; answers once it is dead, or after 10 seconds."""
        await service.cancel(execution_id)
        return await answer(execution_id, _CANCEL_PATIENCE_SECONDS)

    @router.get("/executions/{execution_id}/events", response_class=EventStream)
    async def follow_execution(execution_id: str, last_event_id: LastEventId = None) -> Response:
        """Status, output and usage as server-sent events, until the end; Last-Event-ID goes on from there."""
        position, has_seen_the_end = read_identifier(last_event_id)
        await service.get(execution_id)
        if has_seen_the_end:
            # What tells an EventSource not to come again.
            return Response(status_code=204)
        with readers.one_more(execution_id):
            return EventStream(service, readers, execution_id, position)

    @router.websocket("/executions/{execution_id}/stream")
    async def stream_execution(websocket: WebSocket, execution_id: str, after: str | None = None) -> None:
        await serve_websocket(websocket, service, readers, execution_id, after)

    @router.get("/executions/{execution_id}/output/{stream}")
    async def read_output(execution_id: str, stream: str) -> Response:
        """All of stdout, stderr or result, as it was written."""
        return _download(await service.output_file(execution_id, f"/dev/{stream}"))

    @router.get("/executions/{execution_id}/files/{path:path}")
    async def read_file(execution_id: str, path: str) -> Response:
        """A file that the program left."""
        return _download(await service.output_file(execution_id, path))

    return router


def _download(found: FileContent) -> Response:
    name = quote(found.file.path.rsplit("/", 1)[-1], safe="")
    headers = {
        **_INERT,
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "ETag": f'"{found.file.sha256}"',
    }
    return Response(found.content, media_type="application/octet-stream", headers=headers)
