"""Pending requests for one and the same action, seen together: the action once, each request for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hitl_mcp.approvals.models import RequestKind, RequestRecord, RequestStatus
from hitl_mcp.approvals.sharing import asked_alike
from hitl_mcp.web.pages.views import RequestView


@dataclass(frozen=True)
class RequestGroup:
    """Requests for the same action by its digest, the first of them to be listed standing for all."""

    first: RequestView
    items: tuple[RequestView, ...]

    @property
    def agents(self) -> str:
        """Who asks, each once."""
        return ", ".join(dict.fromkeys(item.agent for item in self.items))


def grouped(views: Sequence[RequestView]) -> list[RequestGroup]:
    """The requests by action, in the order in which they are listed."""
    by_digest: dict[str, list[RequestView]] = {}
    for view in views:
        by_digest.setdefault(view.action_digest, []).append(view)
    return [RequestGroup(items[0], tuple(items)) for items in by_digest.values()]


def twins_of(record: RequestRecord, waiting: Sequence[RequestRecord]) -> list[RequestRecord]:
    """Others that wait for exactly this action, and are asked about in the same way."""
    request = record.request
    if request.kind is not RequestKind.ACTION or request.status is not RequestStatus.PENDING:
        return []
    return [
        each
        for each in waiting
        if each.request.request_id != request.request_id
        and each.request.kind is RequestKind.ACTION
        and each.request.action_digest == request.action_digest
        and asked_alike(each.request, request)
    ]
