"""`edit` of one request, and `batch`: people change what is asked for, and decide several at once."""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hitl_contract.action import Action
from hitl_contract.errors import InvalidAction
from hitl_mcp.approvals.batches import BatchResult
from hitl_mcp.approvals.models import Assurance, BatchInput, BatchItem, EditInput
from hitl_mcp.interface.answers import AnswerModel
from hitl_mcp.interface.arguments import InvalidArguments, parse_action_argument, parse_arguments
from hitl_mcp.web.api.models import (
    BatchAnswer,
    BatchArguments,
    BatchItemAnswer,
    EditArguments,
    RefusalAnswer,
    ReviewAnswer,
    review_answer,
)
from hitl_mcp.web.bodies import body_arguments, body_schema, json_object
from hitl_mcp.web.parts import WebParts, evidence_of, require_person
from hitl_mcp.web.problems import code_of

_NOTHING_CHANGED: Final = "Nothing was changed, because:"
_NOTHING_DECIDED: Final = "Nothing was decided, because:"


def change_routes(parts: WebParts) -> APIRouter:
    """The routes on these parts."""
    router = APIRouter(prefix="/api/v1/approvals", tags=["approvals"])

    @router.post("/batch", response_model=BatchAnswer, openapi_extra=body_schema(BatchArguments))
    async def batch(request: Request) -> Response:
        """Decide several requests, each for itself: one that is refused changes nothing about the others."""
        person = require_person(request)
        body = await body_arguments(request, BatchArguments, consequence=_NOTHING_DECIDED)
        outcome = await parts.service.decide_batch(
            BatchInput(
                person=person.person_id,
                items=tuple(
                    BatchItem(each.request_id, each.action_digest, each.verdict) for each in body.items
                ),
                reason=body.reason,
                channel=body.channel,
                assurance=Assurance.SESSION,
                evidence=evidence_of(request, person),
            )
        )
        results = tuple(_became(parts, each) for each in outcome.results)
        return _answer(BatchAnswer(batch_id=outcome.batch_id, results=results))

    @router.post("/{request_id}/edit", response_model=ReviewAnswer, openapi_extra=body_schema(EditArguments))
    async def edit(request: Request, request_id: str) -> Response:
        """Change what a pending request asks for. Approvals so far count no more; it stays pending."""
        person = require_person(request)
        document = await json_object(request)
        body, action = _edit(document)
        record = await parts.service.edit(
            EditInput(
                request_id=request_id,
                person=person.person_id,
                action=action,
                reason=body.reason,
                channel=body.channel,
                assurance=Assurance.SESSION,
                action_digest=body.action_digest,
                evidence=evidence_of(request, person),
            )
        )
        return _answer(review_answer(parts.views, record, now=parts.clock.now()))

    return router


def _edit(document: dict[str, Any]) -> tuple[EditArguments, Action]:
    body = parse_arguments(EditArguments, document, consequence=_NOTHING_CHANGED)
    try:
        return body, parse_action_argument(body.action)
    except InvalidAction as error:
        raise InvalidArguments(error.problems, consequence=_NOTHING_CHANGED) from None


def _became(parts: WebParts, result: BatchResult) -> BatchItemAnswer:
    record, error = result.record, result.error
    refusal = None if error is None else RefusalAnswer(code=code_of(error), detail=str(error))
    return BatchItemAnswer(
        request_id=result.item.request_id,
        decided=record is not None,
        approval=None if record is None else review_answer(parts.views, record, now=parts.clock.now()),
        refusal=refusal,
    )


def _answer(answer: AnswerModel) -> JSONResponse:
    return JSONResponse(answer.model_dump(mode="json"), headers={"Cache-Control": "no-store"})
