"""`answer` a question of an agent, and `ask` an agent back: people only."""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
from typing import Annotated, Final, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, Field, JsonValue
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hitl_mcp.approvals.dialogue import MAX_QUESTION, AnswerInput, AskInput
from hitl_mcp.approvals.models import Assurance, RequestRecord
from hitl_mcp.interface.arguments import Arguments, Text, not_blank
from hitl_mcp.web.api.models import ReviewAnswer, review_answer
from hitl_mcp.web.bodies import body_arguments, body_schema
from hitl_mcp.web.parts import WebParts, evidence_of, require_person

_NOTHING_KEPT: Final = "No answer was kept, because:"
_NOTHING_ASKED: Final = "Nothing was asked, because:"


class AnswerArguments(Arguments):
    """Body of `answer`."""

    answer: Annotated[
        JsonValue, Field(description="One of the choices, a value that fits the answer_schema, or text")
    ]
    action_digest: Annotated[
        Text | None,
        Field(max_length=100, description="Digest of the question that you saw: another one is refused"),
    ] = None
    channel: Annotated[Literal["api", "cli"], Field(description="Where you answer")] = "api"


class AskArguments(Arguments):
    """Body of `ask`."""

    question: Annotated[
        Text,
        Field(min_length=1, max_length=MAX_QUESTION, description="What you want to know from the agent"),
        AfterValidator(not_blank),
    ]
    channel: Annotated[Literal["api", "cli"], Field(description="Where you ask")] = "api"


def question_routes(parts: WebParts) -> APIRouter:
    """The routes on these parts."""
    router = APIRouter(prefix="/api/v1/approvals", tags=["approvals"])

    @router.post(
        "/{request_id}/answer", response_model=ReviewAnswer, openapi_extra=body_schema(AnswerArguments)
    )
    async def answer(request: Request, request_id: str) -> Response:
        """Answer an agent's question, as the person whose session this is. The first answer ends it."""
        person = require_person(request)
        body = await body_arguments(request, AnswerArguments, consequence=_NOTHING_KEPT)
        digest = body.action_digest
        if digest is None:
            digest = (await parts.service.get(request_id)).request.action_digest
        given = AnswerInput(
            request_id=request_id,
            person=person.person_id,
            answer=body.answer,
            channel=body.channel,
            assurance=Assurance.SESSION,
            action_digest=digest,
            evidence=evidence_of(request, person),
        )
        return _reviewed(parts, await parts.service.answer(given))

    @router.post("/{request_id}/ask", response_model=ReviewAnswer, openapi_extra=body_schema(AskArguments))
    async def ask(request: Request, request_id: str) -> Response:
        """Ask the agent something about its pending request. Its deadline stays as it is."""
        person = require_person(request)
        body = await body_arguments(request, AskArguments, consequence=_NOTHING_ASKED)
        asked = AskInput(request_id, person.person_id, body.question, body.channel)
        return _reviewed(parts, await parts.service.ask_back(asked))

    return router


def _reviewed(parts: WebParts, record: RequestRecord) -> Response:
    answer = review_answer(parts.views, record, now=parts.clock.now())
    return JSONResponse(answer.model_dump(mode="json"), headers={"Cache-Control": "no-store"})
