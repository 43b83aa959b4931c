"""What the forms of a request share: who sent it, about which bytes, why, and what a refusal looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hitl_mcp.approvals.errors import AlreadyEnded, InvalidSubmission, NotEligible, RequestNotFound
from hitl_mcp.approvals.models import ApprovalRequest, Assurance, DecisionInput, Verdict
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.errors import HitlError
from hitl_mcp.identity.sessions import SessionRecord
from hitl_mcp.web.pages.first_seen import FirstSeen
from hitl_mcp.web.pages.guard import Guard
from hitl_mcp.web.pages.rendering import Pages
from server_kit.clock import Clock

MAX_REASON_CHARACTERS: Final = 1000


@dataclass(frozen=True)
class PageParts:
    """What every page of a request stands on."""

    guard: Guard
    pages: Pages
    service: ApprovalService
    first_seen: FirstSeen
    clock: Clock

    def decision(
        self,
        request: Request,
        session: SessionRecord,
        asked: ApprovalRequest,
        verdict: Verdict,
        form: Mapping[str, str],
    ) -> DecisionInput:
        """The verdict that a form sends.

        Raises:
            HTTPException: 400, it does not say about what, or its reason is too long.
        """
        person = session.person.person_id
        seen = (person, asked.request_id, asked.action_digest)
        known = self.first_seen.known(*seen)
        return DecisionInput(
            request_id=asked.request_id,
            person=person,
            verdict=verdict,
            reason=reason_of(form),
            channel="web",
            assurance=Assurance.SESSION,
            action_digest=digest_in(form),
            evidence=evidence_of(request, session),
            # For a rule that asks for a longer look, not to know is to look again.
            first_seen_at=(
                self.first_seen.shown(*seen, now=self.clock.now())
                if asked.terms.minimum_review_seconds
                else known
            ),
        )

    def refused(self, error: HitlError, request_id: str, session: SessionRecord) -> Response:
        """The page that says why nothing happened; of a request that has ended, the request's own."""
        if isinstance(error, AlreadyEnded):
            return to_request(request_id)
        if isinstance(error, RequestNotFound):
            raise error
        status = 409
        if isinstance(error, NotEligible):
            status = 403
        if isinstance(error, InvalidSubmission):
            status = 400
        return self.pages.response(
            "message.html",
            status_code=status,
            title="Nothing was changed",
            text=str(error),
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            back=f"/requests/{request_id}",
        )


def to_request(request_id: str) -> Response:
    """The request's page, which says how it stands."""
    return RedirectResponse(f"/requests/{request_id}", 303)


def text_in(form: Mapping[str, str], name: str) -> str:
    """A field; a browser sends line ends as CR LF, people meant line ends."""
    return form.get(name, "").replace("\r\n", "\n")


def reason_of(form: Mapping[str, str]) -> str | None:
    """
    Raises:
        HTTPException: 400, it is too long.
    """
    reason = text_in(form, "reason").strip() or None
    if reason is not None and len(reason) > MAX_REASON_CHARACTERS:
        raise HTTPException(400, f"The reason is longer than {MAX_REASON_CHARACTERS} characters.")
    return reason


def digest_in(form: Mapping[str, str]) -> str:
    """
    Raises:
        HTTPException: 400, there is none.
    """
    action_digest = form.get("action_digest", "")
    if not action_digest:
        raise HTTPException(400, "The form lacks the digest of what was shown. Open the request again.")
    return action_digest


def evidence_of(request: Request, session: SessionRecord) -> dict[str, str]:
    """What shows afterwards that it was this person."""
    return {
        "session": session.session_id,
        "address": request.client.host if request.client else "unknown",
    }
