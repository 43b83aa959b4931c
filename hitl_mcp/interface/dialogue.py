"""What is said about a request, as it is answered: answers, questions asked back, what to do next."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, cast

from pydantic import Field, JsonValue

from hitl_contract.canonical import parse_strict_json
from hitl_mcp.approvals.models import RequestKind, RequestRecord, RequestStatus, Verdict
from hitl_mcp.interface.answer_model import AnswerModel


class QuestionBackAnswer(AnswerModel):
    """A question that a person asked the agent about its request."""

    question_id: str
    question: Annotated[str, Field(description="What a person wants to know before deciding")]
    asked_by: str
    asked_at: datetime
    answer: Annotated[str | None, Field(description="What the agent answered; null while it has not")]
    answered_at: datetime | None


class QuestionStatus(StrEnum):
    """How a question to people stands."""

    PENDING = "PENDING"
    ANSWERED = "ANSWERED"
    DECLINED = "DECLINED"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"


class HumanAnswer(AnswerModel):
    """How a question to people stands, with the answer once there is one."""

    question_id: Annotated[str, Field(description="Give it to check_status or cancel_request as request_id")]
    status: Annotated[
        QuestionStatus,
        Field(
            description="PENDING: nobody has answered yet. ANSWERED: see answer. DECLINED: a person will not "
            "answer. TIMEOUT, CANCELLED: there is no answer, and none is to be assumed"
        ),
    ]
    answer: Annotated[
        JsonValue, Field(description="One of the choices, a value that fits answer_schema, or text")
    ] = None
    answered_by: Annotated[str | None, Field(description="Who answered or declined")] = None
    channel: Annotated[str | None, Field(description="Where: web, cli, api, ...")] = None
    at: Annotated[datetime | None, Field(description="When it was answered, or otherwise ended")] = None
    reason: Annotated[str | None, Field(description="Why a person declined")] = None
    expires_at: Annotated[datetime, Field(description="When a pending question ends in TIMEOUT")]
    review_url: Annotated[str, Field(description="Page where a person can answer")]
    poll_after_seconds: Annotated[
        int | None, Field(description="While PENDING: ask again after this many seconds")
    ] = None
    next_step: Annotated[str, Field(description="What to do now")]


_QUESTION_STATUS: Final = {
    RequestStatus.PENDING: QuestionStatus.PENDING,
    RequestStatus.ANSWERED: QuestionStatus.ANSWERED,
    RequestStatus.DENIED: QuestionStatus.DECLINED,
    RequestStatus.TIMEOUT: QuestionStatus.TIMEOUT,
    RequestStatus.CANCELLED: QuestionStatus.CANCELLED,
}
_NEXT: Final = {
    QuestionStatus.PENDING: (
        "People have been asked. Call check_status with question_id as request_id until the status is final. "
        "Asking the same question again returns this same one."
    ),
    QuestionStatus.ANSWERED: "Go on with the answer. It answers your question and approves nothing.",
    QuestionStatus.DECLINED: "A person declined to answer. Do not assume an answer.",
    QuestionStatus.TIMEOUT: "Nobody answered in time. Do not assume an answer; ask again if you need it.",
    QuestionStatus.CANCELLED: "The question was cancelled. Do not assume an answer.",
}


def human_answer(record: RequestRecord, *, review_url: str, poll_after_seconds: int) -> HumanAnswer:
    """The answer about a question. ValueError for a request that is none."""
    request, given = record.request, record.answer
    if request.kind is not RequestKind.QUESTION:
        raise ValueError("this request asks for approval, not for an answer")
    status = _QUESTION_STATUS[request.status]
    denial = next((each for each in record.decisions if each.verdict is Verdict.DENY), None)
    said = given or denial
    return HumanAnswer(
        question_id=request.request_id,
        status=status,
        answer=answer_of(record),
        answered_by=said.person if said else None,
        channel=said.channel if said else None,
        at=request.decided_at,
        reason=denial.reason if denial else None,
        expires_at=request.expires_at,
        review_url=review_url,
        poll_after_seconds=poll_after_seconds if status is QuestionStatus.PENDING else None,
        next_step=question_next_step(record),
    )


def answer_of(record: RequestRecord) -> JsonValue:
    """What a person answered to a question; None when nobody has."""
    return None if record.answer is None else cast("JsonValue", parse_strict_json(record.answer.answer))


def questions_of(record: RequestRecord) -> tuple[QuestionBackAnswer, ...]:
    """What people asked about a request, oldest first."""
    return tuple(
        QuestionBackAnswer(
            question_id=each.question_id,
            question=each.question,
            asked_by=each.asked_by,
            asked_at=each.asked_at,
            answer=each.answer,
            answered_at=each.answered_at,
        )
        for each in record.questions
    )


def question_next_step(record: RequestRecord) -> str:
    """What the agent that asked a question does now."""
    return _NEXT[_QUESTION_STATUS[record.request.status]]


def open_question_next_step(record: RequestRecord) -> str | None:
    """What the agent does when it was asked back; None when it was not."""
    if record.open_question is None:
        return None
    return (
        "A person has a question before deciding: see questions, the first that has no answer. Answer with "
        "check_status(request_id, answer='…'). Do not do the action yet."
    )
