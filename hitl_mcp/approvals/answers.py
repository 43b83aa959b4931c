"""People's answers to agents' questions, checked and sealed in the transaction that writes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import cast

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.canonical import canonical_json, parse_strict_json
from hitl_mcp.approvals import events
from hitl_mcp.approvals.admission import Admitted, admit
from hitl_mcp.approvals.capacity import Capacity
from hitl_mcp.approvals.decisions import Decisions
from hitl_mcp.approvals.dialogue import AnswerInput, GivenAnswer
from hitl_mcp.approvals.errors import AlreadyEnded, ApprovalError, InvalidAnswer, WrongKind
from hitl_mcp.approvals.human_questions import problems_with, question_of
from hitl_mcp.approvals.models import (
    ApprovalRequest,
    DecisionInput,
    RequestKind,
    RequestRecord,
    RequestStatus,
    Verdict,
)
from hitl_mcp.approvals.outcomes import Refused, finished, load_record
from hitl_mcp.approvals.ports import ApprovalPorts, NotificationKind
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.approvals.recording import Recorder, state_of
from hitl_mcp.approvals.state_machine import Answer, Refusal, transition
from hitl_mcp.approvals.validation import check_decision


class Answers:
    def __init__(self, ports: ApprovalPorts, recorder: Recorder, decisions: Decisions) -> None:
        self._ports = ports
        self._recorder = recorder
        self._decisions = decisions

    async def answer(self, given: AnswerInput) -> RequestRecord:
        """Answer a question; the first answer ends it. The same answer by the same person changes nothing.

        Checks, in order, inside the transaction that writes the answer:

        1. the request exists (RequestNotFound);
        2. it is a question (WrongKind);
        3. it has not ended, and its time is not up (AlreadyEnded);
        4. it is as this server stored it (SealBroken);
        5. the person may answer: whoever may decide may, see `admission.admit` (NotEligible and its kinds,
           DigestChanged when it is not the question that they saw);
        6. the answer is one that the question, as sealed, asks for (InvalidAnswer).

        Every refusal but the first is recorded in the audit log. Also raises InvalidSubmission.
        """
        as_decision = _as_decision(given)
        check_decision(as_decision)
        capacity = await self._decisions.capacity(given.request_id, given.person)

        async def operation(connection: AsyncConnection) -> RequestRecord | Refused:
            record = await load_record(self._ports, connection, given.request_id)  # 1
            now = self._ports.clock.now()
            refusal: ApprovalError | None = None
            if record.request.kind is not RequestKind.QUESTION:  # 2
                refusal = WrongKind(
                    f"Request {given.request_id} asks for approval, not for an answer. Approve or deny it."
                )
            elif _says_again(record, given, capacity):
                return record
            refusal = refusal or await self._decisions.unready(connection, record, now)  # 3, 4
            if refusal is not None:
                return await self._refuse(connection, record.request, refusal, given)
            admitted = admit(record, as_decision, capacity, now)  # 5
            if not isinstance(admitted, Admitted):
                return await self._refuse(connection, record.request, admitted, given)
            if problems := problems_with(question_of(record.request.action), given.answer):  # 6
                return await self._refuse(connection, record.request, InvalidAnswer(problems), given)
            name = given.person if capacity is None else capacity.person_id
            return await self._accept(
                connection, record, self._sealed(record.request, given, name, admitted, now)
            )

        return await finished(self._ports, operation)

    def proven(self, record: RequestRecord) -> bool:
        """Whether the stored answer is one that this server took to this very question."""
        request, answer, sealer = record.request, record.answer, self._ports.sealer
        return (
            answer is not None
            and request.kind is RequestKind.QUESTION
            and request.status is RequestStatus.ANSWERED
            and sealer.request_holds(request)
            and sealer.answer_holds(answer)
            and (answer.request_id, answer.action_digest) == (request.request_id, request.action_digest)
        )

    async def _accept(
        self, connection: AsyncConnection, record: RequestRecord, answer: GivenAnswer
    ) -> RequestRecord:
        outcome = transition(state_of(record.request), Answer(), answer.answered_at)
        if isinstance(outcome, Refusal):
            # Ruled out by `unready` at the same time in the same transaction; kept so that no path answers.
            raise AlreadyEnded(record)
        await self._ports.store.add_answer(connection, answer)
        stored = await self._recorder.change(
            connection,
            replace(
                record.request,
                status=outcome.state.status,
                decided_at=answer.answered_at,
                ended_by=answer.person,
            ),
            event=events.ANSWERED,
            actor=events.person_actor(answer.person),
            details={
                "answer": cast("JsonValue", parse_strict_json(answer.answer)),
                "channel": answer.channel,
                "assurance": answer.assurance.value,
                "action_digest": answer.action_digest,
                "display_digest": answer.display_digest,
                "status": outcome.state.status.value,
                "seal": answer.seal,
            },
            notification=NotificationKind.ENDED,
        )
        return replace(record, request=stored, answer=answer)

    def _sealed(
        self, request: ApprovalRequest, given: AnswerInput, person: str, admitted: Admitted, now: datetime
    ) -> GivenAnswer:
        answer = GivenAnswer(
            request_id=request.request_id,
            action_digest=request.action_digest,
            display_digest=request.display_digest,
            person=person,
            answer=canonical_json(given.answer).decode(),
            channel=given.channel,
            assurance=given.assurance,
            evidence=dict(given.evidence),
            acted_as=admitted.acted_as,
            answered_at=now,
            seal="",
        )
        return replace(answer, seal=self._ports.sealer.seal_answer(answer))

    async def _refuse(
        self, connection: AsyncConnection, request: ApprovalRequest, error: ApprovalError, given: AnswerInput
    ) -> Refused:
        await self._ports.audit.append(
            connection,
            events.ANSWER_REFUSED,
            actor=events.person_actor(given.person[:200]),
            subject=request.request_id,
            details={"refusal": type(error).__name__, "channel": given.channel},
        )
        return Refused(error)


def _as_decision(given: AnswerInput) -> DecisionInput:
    """What `admit` has to know of an answer: it takes what an approval takes."""
    return DecisionInput(
        request_id=given.request_id,
        person=given.person,
        verdict=Verdict.APPROVE,
        reason=None,
        channel=given.channel,
        assurance=given.assurance,
        action_digest=given.action_digest,
        evidence=given.evidence,
    )


def _says_again(record: RequestRecord, given: AnswerInput, capacity: Capacity | None) -> bool:
    earlier = record.answer
    if earlier is None or problems_with(question_of(record.request.action), given.answer):
        return False
    name = given.person if capacity is None else capacity.person_id
    same = canonical_json(given.answer).decode() == earlier.answer
    return same and person_key(earlier.person) == person_key(name)
