"""The desk on the database itself, where no server is up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import JsonValue

from hitl_contract.action import Action
from hitl_mcp.application import Application
from hitl_mcp.approvals.dialogue import AnswerInput, AskInput
from hitl_mcp.approvals.models import (
    Assurance,
    BatchInput,
    BatchItem,
    Conditions,
    DecisionInput,
    EditInput,
    RequestRecord,
    RequestStatus,
    Verdict,
)
from hitl_mcp.approvals.ports import PersonRecord
from hitl_mcp.approvals.standing import standing_of
from hitl_mcp.cli.desk import BatchLine
from hitl_mcp.interface.dialogue import answer_of
from hitl_mcp.terminal.cards import CardDecision, CardQuestion, RequestCard

_PAGE_SIZE = 100
_EVIDENCE = {"terminal": "password"}


class LocalDesk:
    """Implements `Desk`. What it changes is delivered by the next server that comes up."""

    def __init__(self, application: Application, person: PersonRecord) -> None:
        self._service = application.service
        self._clock = application.clock
        self._public_url = application.settings.http.url
        self._person = person

    async def pending(self) -> list[RequestCard]:
        cards: list[RequestCard] = []
        cursor: str | None = None
        while True:
            page = await self._service.list_for_people(
                status=RequestStatus.PENDING, limit=_PAGE_SIZE, cursor=cursor
            )
            cards += [self._card(record) for record in page.records]
            cursor = page.next_cursor
            if cursor is None:
                return cards

    async def read(self, request_id: str) -> RequestCard:
        return self._card(await self._service.get(request_id))

    async def approve(
        self,
        request_id: str,
        *,
        action_digest: str,
        reason: str | None = None,
        conditions: Conditions | None = None,
    ) -> RequestCard:
        given = self._decision(request_id, Verdict.APPROVE, action_digest, reason)
        if conditions is None:
            return self._card(await self._service.decide(given))
        return self._card(await self._service.approve_with_conditions(given, conditions))

    async def approve_several(self, digests: Mapping[str, str], *, reason: str | None) -> list[BatchLine]:
        outcome = await self._service.decide_batch(
            BatchInput(
                person=self._person.person_id,
                items=tuple(BatchItem(name, digest, Verdict.APPROVE) for name, digest in digests.items()),
                reason=reason,
                channel="cli",
                assurance=Assurance.SESSION,
                evidence=_EVIDENCE,
            )
        )
        return [
            BatchLine(
                each.item.request_id,
                None if each.record is None else self._card(each.record),
                None if each.error is None else str(each.error),
            )
            for each in outcome.results
        ]

    async def edit(
        self, request_id: str, *, action: Action, action_digest: str, reason: str | None
    ) -> RequestCard:
        edited = EditInput(
            request_id=request_id,
            person=self._person.person_id,
            action=action,
            reason=reason,
            channel="cli",
            assurance=Assurance.SESSION,
            action_digest=action_digest,
            evidence=_EVIDENCE,
        )
        return self._card(await self._service.edit(edited))

    async def revoke(self, request_id: str, *, reason: str | None) -> RequestCard:
        record = await self._service.revoke(request_id, person=self._person.person_id, reason=reason)
        return replace(self._card(record), revocation=await self._service.revocation_notice(record))

    async def deny(self, request_id: str, *, action_digest: str, reason: str | None) -> RequestCard:
        given = self._decision(request_id, Verdict.DENY, action_digest, reason)
        return self._card(await self._service.decide(given))

    async def answer(self, request_id: str, *, action_digest: str, answer: JsonValue) -> RequestCard:
        given = AnswerInput(
            request_id=request_id,
            person=self._person.person_id,
            answer=answer,
            channel="cli",
            assurance=Assurance.SESSION,
            action_digest=action_digest,
            evidence=_EVIDENCE,
        )
        return self._card(await self._service.answer(given))

    async def ask(self, request_id: str, question: str) -> RequestCard:
        asked = AskInput(request_id, self._person.person_id, question, channel="cli")
        return self._card(await self._service.ask_back(asked))

    async def cancel(self, request_id: str, *, reason: str | None) -> RequestCard:
        record = await self._service.cancel(
            request_id, agent=None, person=self._person.person_id, reason=reason
        )
        return self._card(record)

    def _decision(
        self, request_id: str, verdict: Verdict, action_digest: str, reason: str | None
    ) -> DecisionInput:
        return DecisionInput(
            request_id=request_id,
            person=self._person.person_id,
            verdict=verdict,
            reason=reason,
            channel="cli",
            assurance=Assurance.SESSION,
            action_digest=action_digest,
            evidence=_EVIDENCE,
        )

    def _card(self, record: RequestRecord) -> RequestCard:
        request = record.request
        return RequestCard(
            request_id=request.request_id,
            agent=request.agent,
            status=request.status,
            risk_level=request.risk_level,
            justification=request.justification,
            summary=request.summary,
            action=request.action,
            created_at=request.created_at,
            expires_at=request.expires_at,
            required_approvals=request.required_approvals,
            received_approvals=record.received_approvals,
            decisions=tuple(
                CardDecision(each.person, each.verdict.value, each.reason, each.channel, each.decided_at)
                for each in record.decisions
            ),
            kind=request.kind.shown,
            drill=request.drill_notice,
            answered=self._service.answer_proven(record),
            answer=answer_of(record) if self._service.answer_proven(record) else None,
            questions=tuple(
                CardQuestion(each.asked_by, each.question, each.answer) for each in record.questions
            ),
            standing=standing_of(record, self._clock.now()),
            review_url=f"{self._public_url}/requests/{request.request_id}",
        )
