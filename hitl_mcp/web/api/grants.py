"""/api/v1/grants, and `grant` of one request: people allow in advance what they have reviewed."""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
from datetime import datetime
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter
from pydantic import Field, JsonValue
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hitl_mcp.approvals.grants import Grant, GrantUse
from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.grants.forms import MAX_USES, Confirmation, GrantForm
from hitl_mcp.interface.answers import AnswerModel
from hitl_mcp.interface.arguments import Arguments, Text
from hitl_mcp.shapes.shape import patterns_from
from hitl_mcp.web.api.delegations import Time
from hitl_mcp.web.bodies import body_arguments, body_schema
from hitl_mcp.web.parts import WebParts, evidence_of, require_person

_NOT_GRANTED: Final = "Nothing was allowed in advance, because:"
_NOT_ENDED: Final = "The grant goes on, because:"


class GrantTermsArguments(Arguments):
    """Body of a preview: what shall be allowed, how often and until when."""

    action_digest: Annotated[Text, Field(max_length=200, description="Digest of the action that you saw")]
    uses: Annotated[int, Field(description=f"How often: 1 to {MAX_USES}")]
    expires_at: Annotated[Time, Field(description="When it ends; at most 30 days from now")]
    vary: Annotated[
        dict[str, Any],
        Field(
            max_length=32,
            default_factory=dict,
            description="What may differ from the action that you saw: JSON pointers, each with a pattern "
            "such as "
            '{"pattern": "any_of", "values": ["a", "b"]}, {"pattern": "at_most", "maximum": 50}, '
            '{"pattern": "within", "directory": "/data/in"}, '
            '{"pattern": "same_host", "prefix": "https://api.example.com/v1/"}, '
            '{"pattern": "text", "max_characters": 200}, {"pattern": "boolean"} or '
            '{"pattern": "subset_of", "values": ["a"]}',
        ),
    ]
    max_risk: Annotated[RiskLevel, Field(strict=False, description="Highest risk; never critical")] = (
        RiskLevel.MEDIUM
    )
    reason: Annotated[Text | None, Field(max_length=2000, description="Why, for the record")] = None


class GrantArguments(GrantTermsArguments):
    """Body of a grant: the same as of its preview, and the digest of the words that you read there."""

    wording_digest: Annotated[Text, Field(max_length=200, description="Digest of the words of the preview")]


class EndGrantArguments(Arguments):
    """Body of a revocation."""

    reason: Annotated[Text | None, Field(max_length=2000, description="Why, for the record")] = None


class GrantUseAnswer(AnswerModel):
    """One use."""

    request_id: str
    number: int
    action_digest: str
    used_at: datetime


class GrantAnswer(AnswerModel):
    """A grant. `wording` says in plain words all that it allows."""

    grant_id: Annotated[str, Field(description="Empty in a preview")]
    agent: str
    person: str
    request_id: Annotated[str, Field(description="The request that its person reviewed")]
    wording: str
    wording_digest: str
    rule: str
    max_risk: RiskLevel
    allowed: int
    used: int
    remaining: int
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    revoked_by: str | None
    channel: str
    reason: str | None
    uses: tuple[GrantUseAnswer, ...] = ()

    @classmethod
    def of(cls, grant: Grant, uses: tuple[GrantUse, ...] = ()) -> Self:
        named: dict[str, JsonValue] = {
            "grant_id": grant.grant_id,
            "agent": grant.agent,
            "person": grant.person,
            "request_id": grant.request_id,
            "wording": grant.wording,
            "wording_digest": grant.wording_digest,
            "rule": grant.rule,
            "allowed": grant.allowed,
            "used": grant.used,
            "remaining": grant.remaining,
            "revoked_by": grant.revoked_by,
            "channel": grant.channel,
            "reason": grant.reason,
        }
        return cls.model_validate(
            {
                **named,
                "max_risk": grant.max_risk,
                "created_at": grant.created_at,
                "expires_at": grant.expires_at,
                "revoked_at": grant.revoked_at,
                "uses": tuple(
                    GrantUseAnswer(
                        request_id=each.request_id,
                        number=each.number,
                        action_digest=each.action_digest,
                        used_at=each.used_at,
                    )
                    for each in uses
                ),
            }
        )


class GrantList(AnswerModel):
    """Grants that can still be used, those made last first."""

    grants: tuple[GrantAnswer, ...]


def grant_routes(parts: WebParts) -> APIRouter:
    """The routes on these parts."""
    router = APIRouter(tags=["grants"])

    @router.post(
        "/api/v1/approvals/{request_id}/grant/preview",
        response_model=GrantAnswer,
        openapi_extra=body_schema(GrantTermsArguments),
    )
    async def preview(request: Request, request_id: str) -> Response:
        """What a grant from this request would allow, in plain words. Nothing is stored."""
        person = require_person(request).person_id
        body = await body_arguments(request, GrantTermsArguments, consequence=_NOT_GRANTED)
        return _answer(GrantAnswer.of(await parts.grants.preview(_form(request_id, person, body))))

    @router.post(
        "/api/v1/approvals/{request_id}/grant",
        status_code=201,
        response_model=GrantAnswer,
        openapi_extra=body_schema(GrantArguments),
    )
    async def grant(request: Request, request_id: str) -> Response:
        """Allow in advance what the preview said. The request itself is decided apart."""
        caller = require_person(request)
        body = await body_arguments(request, GrantArguments, consequence=_NOT_GRANTED)
        made = await parts.grants.make(
            _form(request_id, caller.person_id, body),
            Confirmation(body.wording_digest, "web", Assurance.SESSION, evidence_of(request, caller)),
        )
        return _answer(GrantAnswer.of(made), 201)

    @router.get("/api/v1/grants", response_model=GrantList)
    async def show_list(request: Request) -> Response:
        """The grants of every agent that can still be used."""
        require_person(request)
        found = await parts.grants.list()
        return _answer(GrantList(grants=tuple(map(GrantAnswer.of, found))))

    @router.get("/api/v1/grants/{grant_id}", response_model=GrantAnswer)
    async def show(request: Request, grant_id: str) -> Response:
        """A grant, in force or over, with its uses."""
        require_person(request)
        found, uses = await parts.grants.get(grant_id)
        return _answer(GrantAnswer.of(found, tuple(uses)))

    @router.post(
        "/api/v1/grants/{grant_id}/revoke",
        response_model=GrantAnswer,
        openapi_extra=body_schema(EndGrantArguments, required=False),
    )
    async def revoke(request: Request, grant_id: str) -> Response:
        """End a grant at once: an approver or an administrator."""
        person = require_person(request).session.person
        body = await body_arguments(request, EndGrantArguments, consequence=_NOT_ENDED, may_be_empty=True)
        return _answer(GrantAnswer.of(await parts.grants.revoke(grant_id, actor=person, reason=body.reason)))

    return router


def _form(request_id: str, person: str, body: GrantTermsArguments) -> GrantForm:
    return GrantForm(
        request_id=request_id,
        person=person,
        action_digest=body.action_digest,
        uses=body.uses,
        expires_at=body.expires_at,
        vary=patterns_from(body.vary),
        max_risk=body.max_risk,
        reason=body.reason,
    )


def _answer(answer: AnswerModel, status_code: int = 200) -> JSONResponse:
    return JSONResponse(answer.model_dump(mode="json"), status_code, headers={"Cache-Control": "no-store"})
