"""/api/v1/delegations, and `delegate` of one request: people lend others the capacity to decide."""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
from datetime import datetime, timedelta
from typing import Annotated, Final, Self

from fastapi import APIRouter
from pydantic import AwareDatetime, BeforeValidator, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.identity.delegation_terms import MAX_REASON_CHARACTERS, Delegation, DelegationScope
from hitl_mcp.identity.delegations import NewDelegation
from hitl_mcp.identity.hierarchy import Role
from hitl_mcp.interface.answers import AnswerModel
from hitl_mcp.interface.arguments import Arguments, Text
from hitl_mcp.web.bodies import body_arguments, body_schema
from hitl_mcp.web.parts import WebParts, require_person

_NOT_DELEGATED: Final = "Nothing was delegated, because:"
_AFTER_THE_REQUEST: Final = timedelta(days=1)
"""How long the delegation of one request outlives its time: its token is collected after the decision."""


def _text(value: object) -> object:
    if not isinstance(value, str):
        # pydantic takes ValueError for a refusal, and lets TypeError through.
        raise ValueError("must be a time such as 2030-01-31T18:00:00Z")  # noqa: TRY004
    return value


Time = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_text)]
PersonName = Annotated[Text, Field(min_length=1, max_length=200)]
Names = Annotated[tuple[Annotated[Text, Field(max_length=200)], ...], Field(strict=False, max_length=50)]
Why = Annotated[Text | None, Field(max_length=MAX_REASON_CHARACTERS, description="Why, for the record")]


class DelegateRequestArguments(Arguments):
    """Body of `delegate`."""

    to: Annotated[PersonName, Field(description="Who shall decide this request in your place")]
    until: Annotated[
        Time | None, Field(description="When it ends; a day after the request's time when left out")
    ] = None
    reason: Why = None


class DelegationArguments(Arguments):
    """Body of a new delegation."""

    to: Annotated[PersonName, Field(description="Who shall decide in your place")]
    until: Annotated[Time, Field(description="When it ends")]
    delegator: Annotated[
        PersonName | None,
        Field(alias="from", description="Whose capacity is lent; yours, or as an administrator anybody's"),
    ] = None
    starts_at: Annotated[Time | None, Field(description="When it starts; now when left out")] = None
    groups: Annotated[Names, Field(description="Roles and groups that are lent; all when left out")] = ()
    action_types: Annotated[Names, Field(description="Types of action it is for; all when left out")] = ()
    max_risk: Annotated[
        RiskLevel | None, Field(strict=False, description="Highest risk it is for; any when left out")
    ] = None
    agents: Annotated[Names, Field(description="Agents it is for; all when left out")] = ()
    reason: Why = None


class DelegationAnswer(AnswerModel):
    """A delegation."""

    delegation_id: str
    delegator: str
    delegate: str
    starts_at: datetime
    until: datetime
    groups: tuple[str, ...]
    action_types: tuple[str, ...]
    max_risk: RiskLevel | None
    agents: tuple[str, ...]
    request_id: str | None
    reason: str | None
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, delegation: Delegation) -> Self:
        scope = delegation.scope
        return cls(
            delegation_id=delegation.delegation_id,
            delegator=delegation.delegator,
            delegate=delegation.delegate,
            starts_at=delegation.starts_at,
            until=delegation.until,
            groups=scope.groups,
            action_types=scope.action_types,
            max_risk=scope.max_risk,
            agents=scope.agents,
            request_id=scope.request_id,
            reason=delegation.reason,
            created_at=delegation.created_at,
            created_by=delegation.created_by,
        )


class DelegationList(AnswerModel):
    """Delegations that are in force or to come."""

    delegations: tuple[DelegationAnswer, ...]


def delegation_routes(parts: WebParts) -> APIRouter:
    """The routes on these parts."""
    router = APIRouter(tags=["delegations"])

    @router.post(
        "/api/v1/approvals/{request_id}/delegate",
        status_code=201,
        response_model=DelegationAnswer,
        openapi_extra=body_schema(DelegateRequestArguments),
    )
    async def delegate(request: Request, request_id: str) -> Response:
        """Let somebody else decide this one request in your place."""
        person = require_person(request).session.person
        body = await body_arguments(request, DelegateRequestArguments, consequence=_NOT_DELEGATED)
        asked = (await parts.service.get(request_id)).request
        wanted = NewDelegation(
            person.person_id,
            body.to,
            body.until or asked.expires_at + _AFTER_THE_REQUEST,
            scope=DelegationScope(request_id=asked.request_id),
            reason=body.reason,
        )
        return _answer(DelegationAnswer.of(await parts.delegations.add(wanted, actor=person)), 201)

    @router.post(
        "/api/v1/delegations",
        status_code=201,
        response_model=DelegationAnswer,
        openapi_extra=body_schema(DelegationArguments),
    )
    async def add(request: Request) -> Response:
        """Let somebody else decide in your place for a time."""
        person = require_person(request).session.person
        body = await body_arguments(request, DelegationArguments, consequence=_NOT_DELEGATED)
        wanted = NewDelegation(
            body.delegator or person.person_id,
            body.to,
            body.until,
            starts_at=body.starts_at,
            scope=DelegationScope(body.groups, body.action_types, body.max_risk, body.agents),
            reason=body.reason,
        )
        return _answer(DelegationAnswer.of(await parts.delegations.add(wanted, actor=person)), 201)

    @router.get("/api/v1/delegations", response_model=DelegationList)
    async def show_list(request: Request) -> Response:
        """The delegations from and to you, or everybody's for an administrator."""
        person = require_person(request).session.person
        whose = None if Role.ADMIN in person.roles else person.person_id
        found = await parts.delegations.list(person=whose)
        return _answer(DelegationList(delegations=tuple(map(DelegationAnswer.of, found))))

    @router.post("/api/v1/delegations/{delegation_id}/revoke", response_model=DelegationAnswer)
    async def revoke(request: Request, delegation_id: str) -> Response:
        """End a delegation from or to you at once."""
        person = require_person(request).session.person
        return _answer(DelegationAnswer.of(await parts.delegations.revoke(delegation_id, actor=person)))

    return router


def _answer(answer: AnswerModel, status_code: int = 200) -> JSONResponse:
    return JSONResponse(answer.model_dump(mode="json"), status_code, headers={"Cache-Control": "no-store"})
