"""The page about attention: one's own, and everybody's for those who may see it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from hitl_contract.display import safe_text
from hitl_mcp.attention.measure import Attention
from hitl_mcp.attention.reading import may_see_all, shown_to
from hitl_mcp.attention.records import AttentionRecords
from hitl_mcp.attention.rubber_stamping import stamping
from hitl_mcp.web.pages.guard import Guard
from hitl_mcp.web.pages.rendering import Pages


@dataclass(frozen=True)
class AttentionView:
    """One line of the table: nothing but text."""

    person: str
    decided: int
    approved: str
    median: str
    slowest: str
    hasty: str
    caught: int
    missed: int
    warning: str | None


@dataclass(frozen=True)
class AttentionPages:
    guard: Guard
    pages: Pages
    records: AttentionRecords

    async def show(self, request: Request) -> Response:
        """GET /attention"""
        session = await self.guard.reader(request)
        report = await self.records.report(person=shown_to(session.person, None))
        return self.pages.response(
            "attention.html",
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            days=report.days,
            people=tuple(map(_view, report.people)),
            speed=self.records.speed,
            everybody=may_see_all(session.person),
        )


def _view(each: Attention) -> AttentionView:
    return AttentionView(
        person=safe_text(each.person),
        decided=each.decided,
        approved=percent(each.approved_share),
        median=seconds(each.seconds_p50),
        slowest=seconds(each.seconds_p90),
        hasty=percent(each.hasty_share),
        caught=each.canaries_caught,
        missed=each.canaries_missed,
        warning=stamping(each),
    )


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def seconds(time: float | None) -> str:
    if time is None:
        return "–"
    return f"{time:.0f} s" if time < 120 else f"{time / 60:.0f} min"
