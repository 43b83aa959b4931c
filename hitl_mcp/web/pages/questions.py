"""The page of a question with the form for its answer, and the form that asks an agent back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import JsonValue
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hitl_contract.canonical import canonical_json
from hitl_contract.display import safe_text
from hitl_mcp.approvals.dialogue import MAX_QUESTION, MAX_QUESTIONS_BACK, AnswerInput, AskInput
from hitl_mcp.approvals.errors import AlreadyEnded, InvalidAnswer
from hitl_mcp.approvals.human_questions import question_of
from hitl_mcp.approvals.models import Assurance, DecisionInput, RequestKind, RequestRecord, Verdict
from hitl_mcp.errors import HitlError
from hitl_mcp.identity.sessions import SessionRecord
from hitl_mcp.interface.answer_forms import FormField, fields_of, read_form
from hitl_mcp.interface.dialogue import answer_of
from hitl_mcp.web.pages.answering import MAX_REASON_CHARACTERS, PageParts, to_request
from hitl_mcp.web.pages.views import view_request

MAX_WORDS: Final = 1000
"""Characters that the page's own form takes; the API takes more."""


@dataclass(frozen=True)
class AskedView:
    """One question asked back, and what the agent says."""

    asked_by: str
    asked_at: datetime
    question: str
    answer: str | None
    answered_at: datetime | None


@dataclass(frozen=True)
class DialogueView:
    """What was asked back about a request, and whether the reader may ask more."""

    asked: tuple[AskedView, ...]
    may_ask: bool
    max_words: int = MAX_WORDS


def view_dialogue(record: RequestRecord, *, may_ask: bool) -> DialogueView:
    """Nothing but text that is safe to look at."""
    return DialogueView(
        tuple(
            AskedView(
                safe_text(each.asked_by),
                each.asked_at,
                safe_text(each.question, multiline=True),
                None if each.answer is None else safe_text(each.answer, multiline=True),
                each.answered_at,
            )
            for each in record.questions
        ),
        may_ask=may_ask and len(record.questions) < MAX_QUESTIONS_BACK,
    )


@dataclass(frozen=True)
class FieldView:
    """One field of the answer's form."""

    name: str
    label: str
    kind: str
    required: bool
    hint: str
    options: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class QuestionPages:
    parts: PageParts

    async def page(self, session: SessionRecord, record: RequestRecord) -> Response:
        """The page of a question."""
        request, person = record.request, session.person.person_id
        question = question_of(request.action)
        against = await self.parts.service.refusal_of(
            DecisionInput(
                request_id=request.request_id,
                person=person,
                verdict=Verdict.APPROVE,
                reason=None,
                channel="web",
                assurance=Assurance.SESSION,
                action_digest=request.action_digest,
            )
        )
        return self.parts.pages.response(
            "question.html",
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            request=view_request(record, reader=person, now=self.parts.clock.now()),
            question=safe_text(question.question, multiline=True),
            fields=tuple(map(_field_view, fields_of(question))),
            answer=_shown(answer_of(record)) if self.parts.service.answer_proven(record) else None,
            may_answer=against is None,
            why_not=None if against is None or request.status.is_terminal else str(against),
            max_reason=MAX_REASON_CHARACTERS,
            max_words=MAX_QUESTION,
        )

    async def answer(self, request: Request) -> Response:
        """POST /requests/{request_id}/answer"""
        session, form = await self.parts.guard.writer(request)
        record = await self.parts.service.get(request.path_params["request_id"])
        digest = form.get("action_digest", "")
        if record.request.kind is not RequestKind.QUESTION or not digest:
            raise HTTPException(400, "This form answers no question. Open the request again.")
        request_id = record.request.request_id
        try:
            await self.parts.service.answer(
                AnswerInput(
                    request_id=request_id,
                    person=session.person.person_id,
                    answer=read_form(question_of(record.request.action), form),
                    channel="web",
                    assurance=Assurance.SESSION,
                    action_digest=digest,
                    evidence={
                        "session": session.session_id,
                        "address": request.client.host if request.client else "unknown",
                    },
                )
            )
        except AlreadyEnded as error:
            # Unlike a verdict, an answer that came too late was somebody's work: they are told.
            return self._not_kept(error, request_id, session, status_code=409)
        except InvalidAnswer as error:
            return self._not_kept(error, request_id, session, status_code=400)
        except HitlError as error:
            return self.parts.refused(error, request_id, session)
        return to_request(request_id)

    async def ask(self, request: Request) -> Response:
        """POST /requests/{request_id}/ask"""
        session, form = await self.parts.guard.writer(request)
        request_id: str = request.path_params["request_id"]
        words = form.get("question", "").replace("\r\n", "\n").strip()
        if len(words) > MAX_WORDS:
            raise HTTPException(400, f"The question is longer than {MAX_WORDS} characters.")
        try:
            await self.parts.service.ask_back(
                AskInput(request_id, session.person.person_id, words, channel="web")
            )
        except HitlError as error:
            return self.parts.refused(error, request_id, session)
        return to_request(request_id)

    def _not_kept(
        self, error: HitlError, request_id: str, session: SessionRecord, *, status_code: int
    ) -> Response:
        return self.parts.pages.response(
            "message.html",
            status_code=status_code,
            title="Not kept",
            text=f"{error} Your answer was not kept.",
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            back=f"/requests/{request_id}",
        )


def _field_view(field: FormField) -> FieldView:
    return FieldView(
        field.name,
        safe_text(field.label),
        field.kind.value,
        field.required,
        safe_text(field.hint, multiline=True),
        tuple((number, safe_text(label)) for number, (label, _) in enumerate(field.options, 1)),
    )


def _shown(answer: JsonValue) -> str:
    text = answer if isinstance(answer, str) else canonical_json(answer).decode()
    return safe_text(text, multiline=True)
