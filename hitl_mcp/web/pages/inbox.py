"""The inbox: what is waiting for a decision, and what was decided lately."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from hitl_mcp.approvals.models import RequestStatus
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.web.pages.grouping import grouped
from hitl_mcp.web.pages.guard import Guard
from hitl_mcp.web.pages.rendering import Pages
from hitl_mcp.web.pages.views import RequestView, view_request
from server_kit.clock import Clock

PENDING_SHOWN = 100
ENDED_SHOWN = 10


@dataclass(frozen=True)
class InboxPages:
    guard: Guard
    pages: Pages
    service: ApprovalService
    clock: Clock

    async def show(self, request: Request) -> Response:
        """GET /"""
        session = await self.guard.reader(request)
        pending, ended, more = await self._lists(session.person.person_id)
        return self.pages.response(
            "inbox.html",
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            pending=pending,
            groups=grouped(pending),
            ended=ended,
            more=more,
        )

    async def items(self, request: Request) -> Response:
        """GET /inbox: the lists alone, for the page's own refreshing."""
        session = await self.guard.reader(request)
        pending, ended, more = await self._lists(session.person.person_id)
        return self.pages.response(
            "inbox_items.html", pending=pending, groups=grouped(pending), ended=ended, more=more
        )

    async def _lists(self, reader: str) -> tuple[list[RequestView], list[RequestView], bool]:
        waiting = await self.service.list_for_people(
            status=RequestStatus.PENDING, limit=PENDING_SHOWN, cursor=None
        )
        latest = await self.service.list_for_people(status=None, limit=ENDED_SHOWN * 2, cursor=None)
        now = self.clock.now()
        pending = [view_request(record, reader=reader, now=now, listed=True) for record in waiting.records]
        ended = [
            view_request(record, reader=reader, now=now, listed=True)
            for record in latest.records
            if record.request.status is not RequestStatus.PENDING
        ]
        return pending, ended[:ENDED_SHOWN], waiting.next_cursor is not None
