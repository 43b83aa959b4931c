"""Allowing more of the same in advance: a form, its words to confirm, and the list of what is allowed.

Nothing is allowed by the form. It leads to the words that spell out exactly what would be, and only these,
by the digest of what was shown, can be confirmed; a difference of one letter refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hitl_contract.display import safe_text
from hitl_contract.display_parts import GUTTER
from hitl_mcp.approvals.errors import ApprovalError, InvalidSubmission
from hitl_mcp.approvals.grants import Grant, GrantUse, why_not_grantable
from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.models import ApprovalRequest, RequestKind, RequestStatus
from hitl_mcp.errors import HitlError
from hitl_mcp.grants.directory import GrantDirectory
from hitl_mcp.grants.errors import GrantNotAllowed, GrantRefused, UnknownGrant
from hitl_mcp.grants.forms import MAX_USES, Confirmation, GrantForm
from hitl_mcp.identity.sessions import SessionRecord
from hitl_mcp.shapes.errors import ShapeRefused
from hitl_mcp.web.pages.answering import (
    MAX_REASON_CHARACTERS,
    PageParts,
    digest_in,
    evidence_of,
    reason_of,
)
from hitl_mcp.web.pages.grant_places import (
    chosen_patterns,
    offered_places,
    patterns_of_text,
    patterns_text,
)
from hitl_mcp.web.pages.views import view_request

MAX_FORM_BYTES: Final = 256 * 1024
_LASTING: Final = {"1": "1 hour", "8": "8 hours", "24": "1 day", "168": "7 days", "720": "30 days"}
_DEFAULTS: Final = {"uses": "10", "hours": "8"}


@dataclass(frozen=True)
class GrantView:
    grant_id: str
    agent: str
    person: str
    rule: str
    headline: str
    wording: str
    wording_digest: str
    remaining: int
    allowed: int
    created_at: datetime
    expires_at: datetime
    request_id: str
    in_force: bool
    live: bool
    revoked_by: str | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class GrantPages:
    parts: PageParts
    grants: GrantDirectory

    async def show(self, request: Request) -> Response:
        """GET /requests/{request_id}/grant: the form."""
        session = await self.parts.guard.reader(request)
        asked = (await self.parts.service.get(request.path_params["request_id"])).request
        return await self._form(session, asked, _DEFAULTS)

    async def preview(self, request: Request) -> Response:
        """POST /requests/{request_id}/grant: what the form would allow, word by word. Nothing is stored."""
        session, form = await self.parts.guard.writer(request, max_bytes=MAX_FORM_BYTES)
        asked = (await self.parts.service.get(request.path_params["request_id"])).request
        try:
            lasting = timedelta(hours=_whole(form, "hours"))
            # To the second, as its words say it.
            expires_at = (self.parts.clock.now() + lasting).replace(microsecond=0)
            wanted = GrantForm(
                request_id=asked.request_id,
                person=session.person.person_id,
                action_digest=digest_in(form),
                uses=_whole(form, "uses"),
                expires_at=expires_at,
                vary=chosen_patterns(asked.action, form),
                max_risk=_risk(form),
                reason=reason_of(form),
            )
            grant = await self.grants.preview(wanted)
        except (ShapeRefused, GrantRefused, InvalidSubmission) as error:
            return await self._form(session, asked, form, problem=str(error))
        except HitlError as error:
            return self._refused(error, asked.request_id, session)
        return await self._form(session, asked, form, wanted=wanted, grant=grant)

    async def confirm(self, request: Request) -> Response:
        """POST /requests/{request_id}/grant/confirm: allows the words whose digest was shown."""
        session, form = await self.parts.guard.writer(request, max_bytes=MAX_FORM_BYTES)
        request_id: str = request.path_params["request_id"]
        try:
            wanted = GrantForm(
                request_id=request_id,
                person=session.person.person_id,
                action_digest=digest_in(form),
                uses=_whole(form, "uses"),
                expires_at=_moment(form),
                vary=patterns_of_text(form.get("vary", "")),
                max_risk=_risk(form),
                reason=reason_of(form),
            )
            confirmed = Confirmation(
                form.get("wording_digest", ""), "web", Assurance.SESSION, evidence_of(request, session)
            )
            made = await self.grants.make(wanted, confirmed)
        except HitlError as error:
            return self._refused(error, request_id, session)
        return RedirectResponse(f"/grants/{made.grant_id}", 303)

    async def index(self, request: Request) -> Response:
        """GET /grants: what can still be used; with `?over=1` what is over as well."""
        session = await self.parts.guard.reader(request)
        over = request.query_params.get("over") == "1"
        found = await self.grants.list(over=over)
        return self.parts.pages.response(
            "grants.html",
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            grants=[self._view(each) for each in found],
            over=over,
        )

    async def one(self, request: Request) -> Response:
        """GET /grants/{grant_id}: its words, and each of its uses."""
        session = await self.parts.guard.reader(request)
        grant, uses = await self._found(request.path_params["grant_id"])
        return self.parts.pages.response(
            "grant.html",
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            grant=self._view(grant),
            uses=uses,
            waits=await self._still_waits(grant.request_id),
            max_reason=MAX_REASON_CHARACTERS,
        )

    async def revoke(self, request: Request) -> Response:
        """POST /grants/{grant_id}/revoke"""
        session, form = await self.parts.guard.writer(request)
        grant_id: str = request.path_params["grant_id"]
        try:
            await self.grants.revoke(grant_id, actor=session.person, reason=reason_of(form))
        except UnknownGrant:
            # Twice, or over meanwhile: its page says so.
            await self._found(grant_id)
        except HitlError as error:
            return self._refused(error, None, session)
        return RedirectResponse(f"/grants/{grant_id}", 303)

    async def _found(self, grant_id: str) -> tuple[Grant, Sequence[GrantUse]]:
        try:
            return await self.grants.get(grant_id)
        except UnknownGrant:
            raise HTTPException(404, "There is no such grant; its address may be mistyped.") from None

    async def _still_waits(self, request_id: str) -> bool:
        asked = (await self.parts.service.get(request_id)).request
        return asked.status is RequestStatus.PENDING

    def _refused(self, error: HitlError, request_id: str | None, session: SessionRecord) -> Response:
        if request_id is not None and isinstance(error, ApprovalError):
            return self.parts.refused(error, request_id, session)
        return self.parts.pages.response(
            "message.html",
            status_code=403 if isinstance(error, GrantNotAllowed) else 409,
            title="Nothing was changed",
            text=safe_text(str(error)),
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            **({} if request_id is None else {"back": f"/requests/{request_id}"}),
        )

    async def _form(
        self,
        session: SessionRecord,
        asked: ApprovalRequest,
        form: Mapping[str, str],
        *,
        problem: str | None = None,
        wanted: GrantForm | None = None,
        grant: Grant | None = None,
    ) -> Response:
        record = await self.parts.service.get(asked.request_id)
        return self.parts.pages.response(
            "grant_form.html",
            status_code=400 if problem else 200,
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            request=view_request(record, reader=session.person.person_id, now=self.parts.clock.now()),
            refused=why_no_grant(asked),
            problem=safe_text(problem) if problem else None,
            places=[] if grant else offered_places(asked.action, form),
            lasting=_LASTING,
            hours=form.get("hours", _DEFAULTS["hours"]),
            uses=form.get("uses", _DEFAULTS["uses"]),
            risks=_risks(asked.risk_level),
            max_risk=form.get("max_risk") or asked.risk_level.value,
            reason=form.get("reason", ""),
            wanted=wanted,
            vary=patterns_text(wanted.vary) if wanted else "",
            expires=wanted.expires_at.isoformat() if wanted else "",
            wording=grant.wording if grant else None,
            wording_digest=grant.wording_digest if grant else None,
            max_reason=MAX_REASON_CHARACTERS,
            max_uses=MAX_USES,
        )

    def _view(self, grant: Grant) -> GrantView:
        now = self.parts.clock.now()
        return GrantView(
            grant_id=grant.grant_id,
            agent=safe_text(grant.agent),
            person=safe_text(grant.person),
            rule=safe_text(grant.rule),
            headline=grant.wording.split("\n")[1].removeprefix(GUTTER),
            wording=grant.wording,
            wording_digest=grant.wording_digest,
            remaining=grant.remaining,
            allowed=grant.allowed,
            created_at=grant.created_at,
            expires_at=grant.expires_at,
            request_id=grant.request_id,
            in_force=grant.in_force(now),
            live=grant.is_live(now),
            revoked_by=safe_text(grant.revoked_by) if grant.revoked_by else None,
            revoked_at=grant.revoked_at,
        )


def why_no_grant(asked: ApprovalRequest) -> str | None:
    """Why nothing can be allowed in advance from this request, whoever asks; None where something can."""
    if asked.kind is RequestKind.QUESTION:
        return "It is not about an action."
    if asked.status not in {RequestStatus.PENDING, RequestStatus.APPROVED} or asked.is_granted:
        return "It has to wait for an approval, or to have been approved by people."
    if asked.revision:
        return "It was edited: it is not what the agent asks for."
    if asked.risk_level is RiskLevel.CRITICAL:
        return "Its risk is critical, and such a thing is asked about each time."
    if reason := why_not_grantable(asked.terms):
        return f"It cannot be: {reason}."
    return None


def _risks(least: RiskLevel) -> list[str]:
    return [each.value for each in RiskLevel if least.rank <= each.rank < RiskLevel.CRITICAL.rank]


def _risk(form: Mapping[str, str]) -> RiskLevel:
    try:
        return RiskLevel(form.get("max_risk", ""))
    except ValueError:
        raise GrantRefused("max_risk", "must be low, medium or high") from None


def _whole(form: Mapping[str, str], name: str) -> int:
    text = form.get(name, "").strip()
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise GrantRefused(name, "must be a whole number")
    return int(text)


def _moment(form: Mapping[str, str]) -> datetime:
    try:
        moment = datetime.fromisoformat(form.get("expires_at", ""))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise GrantRefused("expires_at", "cannot be read; open the form again")
    return moment
