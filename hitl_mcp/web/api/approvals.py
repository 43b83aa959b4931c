"""/api/v1/approvals: agents ask and read their own, people read all and decide."""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hitl_mcp.approvals.errors import DigestChanged
from hitl_mcp.approvals.models import Assurance, DecisionInput, RequestRecord, Verdict
from hitl_mcp.interface.answers import AnswerModel, ApprovalAnswer, ApprovalList
from hitl_mcp.interface.arguments import ListRequestsArguments, RequestApprovalArguments
from hitl_mcp.web.api.asking import asked
from hitl_mcp.web.api.models import (
    ApproveArguments,
    DenyArguments,
    ReviewAnswer,
    ReviewList,
    WaitArguments,
    WithdrawArguments,
    review_answer,
)
from hitl_mcp.web.bodies import body_arguments, body_schema, query_arguments
from hitl_mcp.web.parts import (
    AgentCaller,
    Caller,
    PersonCaller,
    WebParts,
    caller_of,
    evidence_of,
    require_person,
)

_NOTHING_DECIDED: Final = "Nothing was decided, because:"
_NOTHING_CHANGED: Final = "Nothing was changed, because:"
_NOTHING_READ: Final = "Nothing was looked up, because:"


def approval_routes(parts: WebParts) -> APIRouter:
    """The routes on these parts."""
    router = APIRouter(prefix="/api/v1/approvals", tags=["approvals"])
    either = ApprovalAnswer | ReviewAnswer

    @router.post(
        "",
        status_code=201,
        response_model=ApprovalAnswer,
        openapi_extra=body_schema(RequestApprovalArguments),
    )
    async def ask(request: Request) -> Response:
        """Ask people to approve an action. Asking again for the same one returns the same request."""
        record = await asked(parts, request)
        response = _answer(await parts.views.for_agent(record.request.agent, record), status_code=201)
        response.headers["Location"] = f"/api/v1/approvals/{record.request.request_id}"
        return response

    @router.get("", response_model=ApprovalList | ReviewList)
    async def show_list(request: Request) -> Response:
        """Requests, newest first: an agent's own, or everybody's for a person."""
        caller = caller_of(request)
        query = query_arguments(request, ListRequestsArguments, consequence=_NOTHING_READ)
        if isinstance(caller, AgentCaller):
            page = await parts.service.list_for_agent(
                caller.name, status=query.status, limit=query.limit, cursor=query.cursor
            )
            own = tuple(parts.views.without_token(record) for record in page.records)
            return _answer(ApprovalList(requests=own, next_cursor=page.next_cursor))
        page = await parts.service.list_for_people(
            status=query.status, limit=query.limit, cursor=query.cursor
        )
        everybodys = tuple(reviewed(parts, record) for record in page.records)
        return _answer(ReviewList(requests=everybodys, next_cursor=page.next_cursor))

    @router.get("/{request_id}", response_model=either)
    async def show(request: Request, request_id: str) -> Response:
        """One request. The requesting agent gets its token with it while it is approved."""
        caller = caller_of(request)
        return await _show(parts, caller, await _find(parts, caller, request_id))

    @router.get("/{request_id}/wait", response_model=either)
    async def wait(request: Request, request_id: str) -> Response:
        """One request, when it has ended or `timeout_seconds` have passed."""
        caller = caller_of(request)
        query = query_arguments(request, WaitArguments, consequence=_NOTHING_READ)
        await _find(parts, caller, request_id)
        return await _show(parts, caller, await parts.service.wait(request_id, query.timeout_seconds))

    @router.post("/{request_id}/approve", response_model=ReviewAnswer, openapi_extra=_OPTIONAL_APPROVAL)
    async def approve(request: Request, request_id: str) -> Response:
        """Approve, as the person whose session this is; with conditions, what is approved is tighter."""
        person = require_person(request)
        body = await body_arguments(
            request, ApproveArguments, consequence=_NOTHING_DECIDED, may_be_empty=True
        )
        given = await _decision(parts, request, person, request_id, Verdict.APPROVE, body)
        if body.conditions is None:
            return _answer(reviewed(parts, await parts.service.decide(given)))
        conditions = body.conditions.conditions()
        return _answer(reviewed(parts, await parts.service.approve_with_conditions(given, conditions)))

    @router.post("/{request_id}/deny", response_model=ReviewAnswer, openapi_extra=_OPTIONAL_DENIAL)
    async def deny(request: Request, request_id: str) -> Response:
        """Deny, as the person whose session this is."""
        person = require_person(request)
        body = await body_arguments(request, DenyArguments, consequence=_NOTHING_DECIDED, may_be_empty=True)
        given = await _decision(parts, request, person, request_id, Verdict.DENY, body)
        return _answer(reviewed(parts, await parts.service.decide(given)))

    @router.post("/{request_id}/cancel", response_model=either, openapi_extra=_OPTIONAL_WITHDRAWAL)
    async def cancel(request: Request, request_id: str) -> Response:
        """Withdraw a pending request: the requesting agent, or a person."""
        caller = caller_of(request)
        body = await body_arguments(
            request, WithdrawArguments, consequence=_NOTHING_CHANGED, may_be_empty=True
        )
        record = await parts.service.cancel(
            request_id,
            agent=caller.name if isinstance(caller, AgentCaller) else None,
            person=None if isinstance(caller, AgentCaller) else caller.person_id,
            reason=body.reason,
        )
        return await _show(parts, caller, record)

    @router.post("/{request_id}/revoke", response_model=ReviewAnswer, openapi_extra=_OPTIONAL_WITHDRAWAL)
    async def revoke(request: Request, request_id: str) -> Response:
        """Withdraw an approval: no more tokens are issued for it.

        `revocation` says whether one was handed out before, under which something may have run.
        """
        caller = require_person(request)
        body = await body_arguments(
            request, WithdrawArguments, consequence=_NOTHING_CHANGED, may_be_empty=True
        )
        record = await parts.service.revoke(request_id, person=caller.person_id, reason=body.reason)
        return await _show(parts, caller, record)

    return router


_OPTIONAL_APPROVAL: Final = body_schema(ApproveArguments, required=False)
_OPTIONAL_DENIAL: Final = body_schema(DenyArguments, required=False)
_OPTIONAL_WITHDRAWAL: Final = body_schema(WithdrawArguments, required=False)


async def _find(parts: WebParts, caller: Caller, request_id: str) -> RequestRecord:
    if isinstance(caller, AgentCaller):
        return await parts.service.get_for_agent(caller.name, request_id)
    return await parts.service.get(request_id)


async def _show(parts: WebParts, caller: Caller, record: RequestRecord) -> Response:
    if isinstance(caller, AgentCaller):
        return _answer(await parts.views.for_agent(caller.name, record))
    notice = await parts.service.revocation_notice(record)
    return _answer(reviewed(parts, record).model_copy(update={"revocation": notice}))


async def _decision(
    parts: WebParts,
    request: Request,
    person: PersonCaller,
    request_id: str,
    verdict: Verdict,
    body: DenyArguments,
) -> DecisionInput:
    action_digest = body.action_digest
    if action_digest is None:
        stored = (await parts.service.get(request_id)).request
        if stored.revision and verdict is Verdict.APPROVE:
            # Of two wordings a caller has to say which one the person saw.
            raise DigestChanged(request_id)
        action_digest = stored.action_digest
    return DecisionInput(
        request_id=request_id,
        person=person.person_id,
        verdict=verdict,
        reason=body.reason,
        channel=body.channel,
        assurance=Assurance.SESSION,
        action_digest=action_digest,
        evidence=evidence_of(request, person),
    )


def reviewed(parts: WebParts, record: RequestRecord) -> ReviewAnswer:
    """The request as a person sees it now."""
    return review_answer(parts.views, record, now=parts.clock.now())


def _answer(answer: AnswerModel, *, status_code: int = 200) -> JSONResponse:
    # Tokens and decisions must not stay in any cache on the way.
    return JSONResponse(answer.model_dump(mode="json"), status_code, headers={"Cache-Control": "no-store"})
