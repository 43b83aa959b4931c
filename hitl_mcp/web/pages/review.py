"""The review page: all of one request, and the two forms that decide it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from hitl_mcp.approvals.errors import AlreadyDecided, AlreadyEnded, ApprovalError, DigestChanged, NotEligible
from hitl_mcp.approvals.models import Assurance, DecisionInput, Verdict
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.identity.sessions import SessionRecord
from hitl_mcp.web.pages.guard import Guard
from hitl_mcp.web.pages.rendering import Pages
from hitl_mcp.web.pages.views import view_request

# Shorter than a graceful shutdown, so that open pages do not hold it up.
WAIT_SECONDS = 8.0
MAX_REASON_CHARACTERS = 1000


@dataclass(frozen=True)
class ReviewPages:
    guard: Guard
    pages: Pages
    service: ApprovalService

    async def show(self, request: Request) -> Response:
        """GET /requests/{request_id}. Decides nothing, whatever its query says."""
        session = await self.guard.reader(request)
        record = await self.service.get(request.path_params["request_id"])
        return self.pages.response(
            "review.html",
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            request=view_request(record, reader=session.person.person_id),
            max_reason=MAX_REASON_CHARACTERS,
        )

    async def wait(self, request: Request) -> Response:
        """GET /requests/{request_id}/wait: answers when the request has ended, or after a while."""
        await self.guard.reader(request)
        record = await self.service.wait(request.path_params["request_id"], WAIT_SECONDS)
        return JSONResponse({"ended": record.request.status.is_terminal})

    async def approve(self, request: Request) -> Response:
        """POST /requests/{request_id}/approve"""
        return await self._decide(request, Verdict.APPROVE)

    async def deny(self, request: Request) -> Response:
        """POST /requests/{request_id}/deny"""
        return await self._decide(request, Verdict.DENY)

    async def _decide(self, request: Request, verdict: Verdict) -> Response:
        session, form = await self.guard.writer(request)
        request_id: str = request.path_params["request_id"]
        action_digest = form.get("action_digest", "")
        if not action_digest:
            raise HTTPException(400, "The form lacks the digest of what was shown. Open the request again.")
        # A browser sends line ends as CR LF; people meant line ends.
        reason = form.get("reason", "").replace("\r\n", "\n").strip() or None
        if reason is not None and len(reason) > MAX_REASON_CHARACTERS:
            raise HTTPException(400, f"The reason is longer than {MAX_REASON_CHARACTERS} characters.")
        decision = DecisionInput(
            request_id=request_id,
            person=session.person.person_id,
            verdict=verdict,
            reason=reason,
            channel="web",
            assurance=Assurance.SESSION,
            action_digest=action_digest,
            evidence={
                "session": session.session_id,
                "address": request.client.host if request.client else "unknown",
            },
        )
        try:
            await self.service.decide(decision)
        except AlreadyEnded:
            # The page itself says how it ended, and by whom.
            pass
        except (NotEligible, DigestChanged, AlreadyDecided) as error:
            return self._refused(error, request_id, session)
        return RedirectResponse(f"/requests/{request_id}", 303)

    def _refused(self, error: ApprovalError, request_id: str, session: SessionRecord) -> Response:
        return self.pages.response(
            "message.html",
            status_code=403 if isinstance(error, NotEligible) else 409,
            title="Not decided",
            text=str(error),
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            back=f"/requests/{request_id}",
        )
