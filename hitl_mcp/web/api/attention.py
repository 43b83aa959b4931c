"""/api/v1/people/attention: how attentively people decide."""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hitl_mcp.attention.reading import attention_to_json, shown_to
from hitl_mcp.attention.records import DEFAULT_DAYS, MAX_DAYS
from hitl_mcp.interface.answers import AnswerModel
from hitl_mcp.interface.arguments import Arguments, Text
from hitl_mcp.web.bodies import query_arguments, query_schema
from hitl_mcp.web.parts import WebParts, require_person
from server_kit.problems import ProblemDetail

_NOTHING_READ: Final = "Nothing was read, because:"


class AttentionArguments(Arguments):
    """Query of `attention`."""

    person: Annotated[
        Text | None, Field(min_length=1, max_length=200, description="Of this person alone")
    ] = None
    days: Annotated[int, Field(ge=1, le=MAX_DAYS, description="How far back")] = DEFAULT_DAYS


class PersonAttention(AnswerModel):
    """The measure of one person. Shares are from 0 to 1, null where there is nothing to divide by."""

    person: str
    decided: int
    approved: int
    approved_share: float | None
    seconds_p50: Annotated[
        float | None, Field(description="Half of the decisions took no longer, from being told to deciding")
    ]
    seconds_p90: float | None
    hasty: Annotated[int, Field(description="Approvals faster than what was asked for can be read")]
    hasty_share: float | None
    canaries_caught: Annotated[int, Field(description="Drills that they denied")]
    canaries_missed: Annotated[int, Field(description="Drills that they approved")]
    warning: Annotated[str | None, Field(description="Why they seem to approve without looking")]


class AttentionAnswer(AnswerModel):
    """The measure of everybody who decided within so many days, and what it takes for too fast."""

    days: int
    since: datetime
    words_per_minute: int
    least_seconds: float
    people: tuple[PersonAttention, ...]


def attention_routes(parts: WebParts) -> APIRouter:
    """The routes on these parts."""
    router = APIRouter(prefix="/api/v1/people", tags=["people"])

    @router.get("/attention", response_model=AttentionAnswer, openapi_extra=query_schema(AttentionArguments))
    async def show(request: Request) -> Response:
        """Time to decide, share approved, drills: everybody's for administrators and auditors, else yours."""
        reader = require_person(request).session.person
        asked = query_arguments(request, AttentionArguments, consequence=_NOTHING_READ)
        try:
            person = shown_to(reader, asked.person)
        except PermissionError:
            raise ProblemDetail(
                403, "auditor_needed", "Only administrators and auditors see other people's attention."
            ) from None
        report = await parts.attention.report(days=asked.days, person=person)
        answer = AttentionAnswer.model_validate(attention_to_json(report, parts.attention.speed))
        return JSONResponse(answer.model_dump(mode="json"), headers={"Cache-Control": "no-store"})

    return router
