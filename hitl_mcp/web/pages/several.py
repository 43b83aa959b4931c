"""Approving several requests at once: only those that are shown whole, each by its own digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from hitl_contract.display import render_action, safe_text
from hitl_mcp.approvals.errors import InvalidSubmission
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import (
    Assurance,
    BatchInput,
    BatchItem,
    DecisionInput,
    RequestKind,
    RequestRecord,
    RequestStatus,
    Verdict,
)
from hitl_mcp.errors import HitlError
from hitl_mcp.web.pages.answering import PageParts, evidence_of
from hitl_mcp.web.pages.grouping import grouped
from hitl_mcp.web.pages.views import RequestView, view_request

MAX_SHOWN: Final = 20
MAX_LINES: Final = 40
MAX_CHARACTERS: Final = 3000
_LOOKED_THROUGH: Final = 100
_FIELD: Final = "item."


@dataclass(frozen=True)
class ResultView:
    request_id: str
    headline: str
    outcome: str
    done: bool


@dataclass(frozen=True)
class SeveralPages:
    parts: PageParts

    async def show(self, request: Request) -> Response:
        """GET /several"""
        session = await self.parts.guard.reader(request)
        items, left_out = await self._items(session.person.person_id)
        return self.parts.pages.response(
            "several.html",
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            groups=grouped(items),
            left_out=left_out,
        )

    async def approve(self, request: Request) -> Response:
        """POST /several: approves each request that is ticked, by the digest that its box carries."""
        session, form = await self.parts.guard.writer(request)
        ticked = tuple(
            BatchItem(name.removeprefix(_FIELD), digest, Verdict.APPROVE)
            for name, digest in form.items()
            if name.startswith(_FIELD)
        )
        if not ticked:
            raise InvalidSubmission("items", "are none: tick what you want to approve")
        outcome = await self.parts.service.decide_batch(
            BatchInput(
                person=session.person.person_id,
                items=ticked,
                reason=None,
                channel="web",
                assurance=Assurance.SESSION,
                evidence=evidence_of(request, session),
            )
        )
        results = [_result(each.item.request_id, each.record, each.error) for each in outcome.results]
        return self.parts.pages.response(
            "several_done.html",
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            results=results,
        )

    async def _items(self, reader: str) -> tuple[Sequence[RequestView], int]:
        """What the reader may approve here, and how many that wait have to be opened one by one."""
        page = await self.parts.service.list_for_people(
            status=RequestStatus.PENDING, limit=_LOOKED_THROUGH, cursor=None
        )
        fitting: list[RequestView] = []
        for record in page.records:
            if len(fitting) < MAX_SHOWN and _fits(record) and await self._may_approve(record, reader):
                fitting.append(view_request(record, reader=reader, now=self.parts.clock.now()))
        return fitting, len(page.records) - len(fitting)

    async def _may_approve(self, record: RequestRecord, reader: str) -> bool:
        request = record.request
        given = DecisionInput(
            request_id=request.request_id,
            person=reader,
            verdict=Verdict.APPROVE,
            reason=None,
            channel="web",
            assurance=Assurance.SESSION,
            action_digest=request.action_digest,
        )
        return await self.parts.service.refusal_of(given) is None


def _fits(record: RequestRecord) -> bool:
    """Whether all of it is shown in one look, and its rule asks for nothing that a tick cannot give."""
    request = record.request
    if request.kind is RequestKind.QUESTION or request.risk_level.rank > RiskLevel.MEDIUM.rank:
        return False
    if request.terms.reason_required or request.terms.minimum_review_seconds:
        return False
    text = "\n".join((render_action(request.action).text, request.justification, request.summary or ""))
    return len(text) <= MAX_CHARACTERS and text.count("\n") <= MAX_LINES


def _result(request_id: str, record: RequestRecord | None, error: Exception | None) -> ResultView:
    if record is None:
        text = str(error) if isinstance(error, HitlError) else "The server could not do it now. Try again."
        return ResultView(safe_text(request_id), "", text, done=False)
    if record.request.drill_notice is not None:
        headline = render_action(record.request.action).headline
        return ResultView(request_id, headline, record.request.drill_notice, done=True)
    ended = record.request.status is RequestStatus.APPROVED
    given = f"{record.received_approvals} of {record.request.required_approvals} approvals"
    outcome = "Approved" if ended else f"Your approval is recorded: {given}"
    return ResultView(request_id, render_action(record.request.action).headline, outcome, done=True)
