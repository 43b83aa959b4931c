"""The review page: all of one request, and the two forms that decide it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hitl_contract.action import MAX_ACTION_BYTES, Action, canonical_action, parse_action_json
from hitl_contract.action_code import CodeExecution, NetworkMode
from hitl_mcp.approvals.errors import AlreadyDecided, ApprovalError, ReviewTooShort
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import (
    Assurance,
    DecisionInput,
    RequestKind,
    RequestRecord,
    RequestStatus,
    Verdict,
)
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.interface.differences import DifferenceLine, difference
from hitl_mcp.web.pages.answering import MAX_REASON_CHARACTERS, PageParts, to_request
from hitl_mcp.web.pages.deciders import Deciders
from hitl_mcp.web.pages.grants import why_no_grant
from hitl_mcp.web.pages.grouping import twins_of
from hitl_mcp.web.pages.questions import QuestionPages, view_dialogue
from hitl_mcp.web.pages.views import RequestView, view_request

# Shorter than a graceful shutdown, so that open pages do not hold it up.
WAIT_SECONDS: Final = 8.0
_LOOKED_THROUGH: Final = 100
MAX_EDITABLE_BYTES: Final = MAX_ACTION_BYTES // 32


@dataclass(frozen=True)
class ReaderView:
    """What the reader may do now. `why_not` says what stands against an approval of theirs."""

    approve: bool
    deny: bool
    why_not: str | None
    approve_from: datetime | None
    edit: bool
    tighten: tuple[tuple[str, float], ...]
    cut_network: bool
    conditions: bool
    grant: bool


@dataclass(frozen=True)
class ReviewPages:
    parts: PageParts
    deciders: Deciders

    async def show(self, request: Request) -> Response:
        """GET /requests/{request_id}. Decides nothing, whatever its query says."""
        session = await self.parts.guard.reader(request)
        record = await self.parts.service.get(request.path_params["request_id"])
        if record.request.kind is RequestKind.QUESTION:
            return await QuestionPages(self.parts).page(session, record)
        reader = await self._reader(record, session.person.person_id)
        return self.parts.pages.response(
            "review.html",
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            request=view_request(record, reader=session.person.person_id, now=self.parts.clock.now()),
            reader=reader,
            deciders=await self.deciders.of(record),
            revocation=await self.parts.service.revocation_notice(record),
            dialogue=view_dialogue(record, may_ask=reader.deny),
            changes=await self._changes(record),
            twins=await self._twins(record, session.person.person_id) if reader.approve else [],
            max_reason=MAX_REASON_CHARACTERS,
        )

    async def wait(self, request: Request) -> Response:
        """GET /requests/{request_id}/wait: answers when the request has ended, or after a while."""
        await self.parts.guard.reader(request)
        record = await self.parts.service.wait(request.path_params["request_id"], WAIT_SECONDS)
        return JSONResponse({"ended": record.request.status.is_terminal})

    async def approve(self, request: Request) -> Response:
        """POST /requests/{request_id}/approve"""
        return await self._decide(request, Verdict.APPROVE)

    async def deny(self, request: Request) -> Response:
        """POST /requests/{request_id}/deny"""
        return await self._decide(request, Verdict.DENY)

    async def _decide(self, request: Request, verdict: Verdict) -> Response:
        session, form = await self.parts.guard.writer(request)
        record = await self.parts.service.get(request.path_params["request_id"])
        decision = self.parts.decision(request, session, record.request, verdict, form)
        try:
            await self.parts.service.decide(decision)
        except ApprovalError as error:
            return self.parts.refused(error, decision.request_id, session)
        return to_request(decision.request_id)

    async def _twins(self, record: RequestRecord, person: str) -> list[RequestView]:
        """Others that wait for exactly what this page shows, and that a tick is enough for."""
        terms, risk = record.request.terms, record.request.risk_level
        if terms.reason_required or terms.minimum_review_seconds or risk is RiskLevel.CRITICAL:
            return []
        waiting = await self.parts.service.list_for_people(
            status=RequestStatus.PENDING, limit=_LOOKED_THROUGH, cursor=None
        )
        now = self.parts.clock.now()
        return [
            view_request(each, reader=person, now=now, listed=True)
            for each in twins_of(record, waiting.records)
            if not any(person_key(given.person) == person_key(person) for given in each.standing)
        ]

    async def _changes(self, record: RequestRecord) -> tuple[DifferenceLine, ...] | None:
        """What edits have changed of what the agent proposed; None where nothing, or too much to compare."""
        request = record.request
        if not request.revision or request.asked_digest == request.action_digest:
            return None
        proposed = await self.parts.service.approved_action(request.asked_digest)
        return difference(parse_action_json(proposed), request.action)

    async def _reader(self, record: RequestRecord, person: str) -> ReaderView:
        request = record.request
        now = self.parts.clock.now()
        refusals: dict[Verdict, ApprovalError | None] = {}
        since = self.parts.first_seen.shown(person, request.request_id, request.action_digest, now=now)
        waits = request.terms.minimum_review_seconds
        if request.status is RequestStatus.PENDING:
            for verdict in Verdict:
                refusals[verdict] = await self.parts.service.refusal_of(
                    DecisionInput(
                        request_id=request.request_id,
                        person=person,
                        verdict=verdict,
                        reason="to be given",
                        channel="web",
                        assurance=Assurance.SESSION,
                        action_digest=request.action_digest,
                        first_seen_at=since if waits else None,
                    )
                )
        against = refusals.get(Verdict.APPROVE)
        early = isinstance(against, ReviewTooShort)
        approve = bool(refusals) and (against is None or early)
        action, terms = request.action, request.terms
        edit = approve and terms.may_edit and request.kind is not RequestKind.QUESTION
        code = action if isinstance(action, CodeExecution) else None
        return ReaderView(
            approve=approve,
            deny=bool(refusals) and refusals[Verdict.DENY] is None,
            why_not=_why_not(against),
            approve_from=since + timedelta(seconds=waits) if early else None,
            edit=edit and _editable(action),
            tighten=tuple(code.limits.model_dump().items()) if code and edit else (),
            cut_network=bool(code and edit and code.network.mode is not NetworkMode.NONE),
            grant=((approve and not early) or request.status is RequestStatus.APPROVED)
            and why_no_grant(request) is None,
            conditions=bool(approve and code and not early and (edit or terms.conditions)),
        )


def _why_not(error: ApprovalError | None) -> str | None:
    if error is None or isinstance(error, ReviewTooShort):
        return None
    if isinstance(error, AlreadyDecided):
        return "You have decided; others are still asked."
    return str(error)


def _editable(action: Action) -> bool:
    return len(canonical_action(action)) <= MAX_EDITABLE_BYTES
