"""Questions that people ask an agent about its pending request, and the agent's replies.

They change nothing of the request: neither its action and digest, nor who still has to approve, nor when it
ends. What an agent replies is its word and no part of what is approved.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals import events
from hitl_mcp.approvals.admission import Admitted, admit
from hitl_mcp.approvals.decisions import Decisions
from hitl_mcp.approvals.dialogue import MAX_QUESTION, MAX_QUESTIONS_BACK, AskInput, QuestionBack
from hitl_mcp.approvals.errors import (
    ApprovalError,
    InvalidSubmission,
    NoOpenQuestion,
    RequestNotFound,
    TooManyQuestions,
    WrongKind,
)
from hitl_mcp.approvals.levels import Assurance
from hitl_mcp.approvals.models import DecisionInput, RequestKind, RequestRecord, Verdict
from hitl_mcp.approvals.outcomes import Refused, finished, load_record
from hitl_mcp.approvals.ports import ApprovalPorts, NotificationKind
from hitl_mcp.approvals.recording import Recorder
from hitl_mcp.approvals.validation import MAX_NAME, check_text
from server_kit.identifiers import new_identifier

# What `admit` asks of a reason is for verdicts.
_NO_REASON_NEEDED: Final = "asks a question"


class AskingBack:
    def __init__(self, ports: ApprovalPorts, recorder: Recorder, decisions: Decisions) -> None:
        self._ports = ports
        self._recorder = recorder
        self._decisions = decisions

    async def ask(self, asked: AskInput) -> RequestRecord:
        """Ask the agent something about its request; an agent that waits is woken.

        Checks, in order, inside the transaction that writes the question:

        1. the request exists (RequestNotFound);
        2. it asks for approval (WrongKind);
        3. it has not ended, its time is not up (AlreadyEnded), and it is as stored here (SealBroken);
        4. the person may decide it (NotEligible);
        5. there were fewer than 10 questions about it (TooManyQuestions).

        Every refusal but the first is recorded in the audit log. Also raises InvalidSubmission.
        """
        _check_words("question", asked.question)
        check_text("person", asked.person, MAX_NAME)
        check_text("channel", asked.channel, MAX_NAME)
        capacity = await self._decisions.capacity(asked.request_id, asked.person)

        async def operation(connection: AsyncConnection) -> RequestRecord | Refused:
            record = await load_record(self._ports, connection, asked.request_id)  # 1
            now = self._ports.clock.now()
            refusal: ApprovalError | None = None
            if record.request.kind is RequestKind.QUESTION:  # 2
                refusal = WrongKind(f"{asked.request_id} is a question itself. Answer it, or decline to.")
            refusal = refusal or await self._decisions.unready(connection, record, now)  # 3
            if refusal is None:
                admitted = admit(record, _as_denial(record, asked), capacity, now)  # 4
                refusal = None if isinstance(admitted, Admitted) else admitted
            if refusal is None and len(record.questions) >= MAX_QUESTIONS_BACK:  # 5
                refusal = TooManyQuestions(asked.request_id, MAX_QUESTIONS_BACK)
            if refusal is not None:
                return await self._refuse(connection, asked, refusal)
            question = QuestionBack(
                question_id=new_identifier("ask"),
                request_id=asked.request_id,
                number=len(record.questions) + 1,
                question=asked.question,
                asked_by=asked.person if capacity is None else capacity.person_id,
                channel=asked.channel,
                asked_at=now,
                seal="",
            )
            return await self._put(connection, record, question)

        return await finished(self._ports, operation)

    async def reply(self, agent: str, request_id: str, answer: str) -> RequestRecord:
        """Keep the agent's reply to the oldest open question about its request.

        The same reply again, while nothing else is open, changes nothing. Checks, in order, inside the
        transaction that writes the reply:

        1. the request exists and is this agent's (RequestNotFound);
        2. it has not ended, its time is not up (AlreadyEnded), and it is as stored here (SealBroken);
        3. a question is open (NoOpenQuestion).

        Also raises InvalidSubmission.
        """
        _check_words("answer", answer)

        async def operation(connection: AsyncConnection) -> RequestRecord | Refused:
            record = await load_record(self._ports, connection, request_id)
            if not record.request.is_of(agent):  # 1
                raise RequestNotFound(request_id)
            now = self._ports.clock.now()
            refusal = await self._decisions.unready(connection, record, now)  # 2
            if refusal is not None:
                return Refused(refusal)
            question = record.open_question
            if question is None:  # 3
                said = record.questions[-1].answer if record.questions else None
                return record if said == answer else Refused(NoOpenQuestion(request_id))
            return await self._put(connection, record, replace(question, answer=answer, answered_at=now))

        return await finished(self._ports, operation)

    async def _put(
        self, connection: AsyncConnection, record: RequestRecord, unsealed: QuestionBack
    ) -> RequestRecord:
        question = replace(unsealed, seal=self._ports.sealer.seal_question(unsealed))
        await self._ports.store.put_question(connection, question)
        details: dict[str, JsonValue] = {
            "question_id": question.question_id,
            "number": question.number,
            "action_digest": record.request.action_digest,
            "seal": question.seal,
        }
        if question.is_open:
            event, actor = events.ASKED_BACK, events.person_actor(question.asked_by)
            details |= {"question": question.question, "channel": question.channel}
        else:
            event, actor = events.REPLIED, events.agent_actor(record.request.agent)
            details |= {"answer": question.answer}
        stored = await self._recorder.change(
            connection,
            record.request,
            event=event,
            actor=actor,
            details=details,
            notification=NotificationKind.CHANGED,
        )
        others = [each for each in record.questions if each.question_id != question.question_id]
        questions = sorted([*others, question], key=lambda each: each.number)
        return replace(record, request=stored, questions=tuple(questions))

    async def _refuse(self, connection: AsyncConnection, asked: AskInput, error: ApprovalError) -> Refused:
        await self._ports.audit.append(
            connection,
            events.ASKED_BACK_REFUSED,
            actor=events.person_actor(asked.person[:200]),
            subject=asked.request_id,
            details={"refusal": type(error).__name__, "channel": asked.channel},
        )
        return Refused(error)


def _as_denial(record: RequestRecord, asked: AskInput) -> DecisionInput:
    """What `admit` has to know of a question: whoever may deny a request may ask about it."""
    return DecisionInput(
        request_id=asked.request_id,
        person=asked.person,
        verdict=Verdict.DENY,
        reason=_NO_REASON_NEEDED,
        channel=asked.channel,
        assurance=Assurance.CHAT,
        action_digest=record.request.action_digest,
    )


def _check_words(field: str, text: str) -> None:
    if not text.strip():
        raise InvalidSubmission(field, "is empty")
    check_text(field, text, MAX_QUESTION)
