"""/api/v1/permissions and /api/v1/uses: for agents whose own side carries the approved action out.

Such an agent asks, waits, and then uses the approval up; it never gets a capability token for it.
"""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter
from pydantic import Field, JsonValue
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hitl_contract.action import canonical_action
from hitl_contract.canonical import parse_strict_json
from hitl_mcp.approvals.models import RequestRecord
from hitl_mcp.interface.answers import AnswerModel, ApprovalAnswer
from hitl_mcp.interface.arguments import Arguments, RequestApprovalArguments, Text
from hitl_mcp.interface.permissions import PermissionAnswer, PermissionArguments, Permissions
from hitl_mcp.web.api.asking import NOTHING_STORED, asked
from hitl_mcp.web.api.models import WaitArguments
from hitl_mcp.web.bodies import body_arguments, body_schema, query_arguments
from hitl_mcp.web.parts import WebParts, require_agent

_NOTHING_READ: Final = "Nothing was looked up, because:"
_NOTHING_SPENT: Final = "The approval was not used, because:"
_LONGEST_HOLD_SECONDS: Final = 600


class HookArguments(PermissionArguments):
    """Body of `permissions`: what a hook knows of a call."""

    cwd: Annotated[Text | None, Field(max_length=4096, description="The directory the tool works in")] = None
    wait_seconds: Annotated[
        int, Field(ge=0, le=_LONGEST_HOLD_SECONDS, description="How long to wait for a person")
    ] = 0


class UseArguments(Arguments):
    """Body of `uses/{request_id}`."""

    use: Annotated[
        Text,
        Field(min_length=1, max_length=255, description="Your own name for the one act that follows; unique"),
    ]


class UseAnswer(AnswerModel):
    """An approval used up."""

    request_id: str
    use: str
    first: Annotated[bool, Field(description="Act only when true: false repeats an earlier answer")]
    action: Annotated[dict[str, JsonValue], Field(description="What to carry out, exactly")]
    action_digest: str


def permission_routes(parts: WebParts) -> APIRouter:
    """The routes on these parts."""
    router = APIRouter(prefix="/api/v1", tags=["permissions"])
    permissions = Permissions(parts.service, parts.views)

    @router.post("/permissions", response_model=PermissionAnswer, openapi_extra=body_schema(HookArguments))
    async def permit(request: Request) -> Response:
        """Permission for one call of a client's own tool, in the shape of `permission_prompt`."""
        agent = require_agent(request)
        body = await body_arguments(request, HookArguments, consequence=NOTHING_STORED)

        async def wait(record: RequestRecord) -> RequestRecord:
            return await parts.service.wait(record.request.request_id, body.wait_seconds)

        given = body.model_dump(exclude={"cwd", "wait_seconds"})
        return _answer(await permissions.answer(agent.name, given, wait, cwd=body.cwd))

    @router.post(
        "/uses",
        status_code=201,
        response_model=ApprovalAnswer,
        openapi_extra=body_schema(RequestApprovalArguments),
    )
    async def ask(request: Request) -> Response:
        """Ask like `approvals` does, without collecting a token: the approval stays to be used."""
        return _answer(parts.views.without_token(await asked(parts, request)), status_code=201)

    @router.get("/uses/{request_id}/wait", response_model=ApprovalAnswer)
    async def wait(request: Request, request_id: str) -> Response:
        """One request of the agent's, when it has ended or `timeout_seconds` have passed."""
        agent = require_agent(request)
        query = query_arguments(request, WaitArguments, consequence=_NOTHING_READ)
        await parts.service.get_for_agent(agent.name, request_id)
        return _answer(parts.views.without_token(await parts.service.wait(request_id, query.timeout_seconds)))

    @router.post("/uses/{request_id}", response_model=UseAnswer, openapi_extra=body_schema(UseArguments))
    async def use(request: Request, request_id: str) -> Response:
        """Use an approval up, for one act of the agent's own side. No token is issued for it any more."""
        agent = require_agent(request)
        body = await body_arguments(request, UseArguments, consequence=_NOTHING_SPENT)
        spent = await parts.service.spend(agent.name, request_id, use=body.use)
        return _answer(
            UseAnswer(
                request_id=request_id,
                use=spent.use,
                first=spent.first,
                action=cast("dict[str, Any]", parse_strict_json(canonical_action(spent.request.action))),
                action_digest=spent.request.action_digest,
            )
        )

    return router


def _answer(answer: AnswerModel, *, status_code: int = 200) -> JSONResponse:
    # Decisions must not stay in any cache on the way.
    return JSONResponse(answer.model_dump(mode="json"), status_code, headers={"Cache-Control": "no-store"})
