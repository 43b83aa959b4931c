"""What else people do with a request: approve with conditions, cancel, revoke, let somebody else decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from hitl_contract.action_code import CodeExecution
from hitl_mcp.approvals.errors import InvalidSubmission
from hitl_mcp.approvals.models import ApprovalRequest, Conditions, LimitValue, Verdict
from hitl_mcp.errors import HitlError
from hitl_mcp.identity.delegation_terms import DelegationScope
from hitl_mcp.identity.delegations import DelegationDirectory, NewDelegation
from hitl_mcp.web.pages.answering import PageParts, reason_of, to_request

_AFTER_THE_REQUEST: Final = timedelta(days=1)
"""How long the delegation of one request outlives its time: its token is collected after the decision."""


@dataclass(frozen=True)
class ActPages:
    parts: PageParts
    delegations: DelegationDirectory

    async def approve_with_conditions(self, request: Request) -> Response:
        """POST /requests/{request_id}/approve-with-conditions"""
        session, form = await self.parts.guard.writer(request)
        asked = (await self.parts.service.get(request.path_params["request_id"])).request
        decision = self.parts.decision(request, session, asked, Verdict.APPROVE, form)
        try:
            conditions = _conditions(asked, form)
            await self.parts.service.approve_with_conditions(decision, conditions)
        except HitlError as error:
            return self.parts.refused(error, asked.request_id, session)
        return to_request(asked.request_id)

    async def cancel(self, request: Request) -> Response:
        """POST /requests/{request_id}/cancel"""
        session, form = await self.parts.guard.writer(request)
        request_id: str = request.path_params["request_id"]
        person, reason = session.person.person_id, reason_of(form)
        try:
            await self.parts.service.cancel(request_id, agent=None, person=person, reason=reason)
        except HitlError as error:
            return self.parts.refused(error, request_id, session)
        return to_request(request_id)

    async def revoke(self, request: Request) -> Response:
        """POST /requests/{request_id}/revoke"""
        session, form = await self.parts.guard.writer(request)
        request_id: str = request.path_params["request_id"]
        try:
            await self.parts.service.revoke(
                request_id, person=session.person.person_id, reason=reason_of(form)
            )
        except HitlError as error:
            return self.parts.refused(error, request_id, session)
        return to_request(request_id)

    async def delegate(self, request: Request) -> Response:
        """POST /requests/{request_id}/delegate"""
        session, form = await self.parts.guard.writer(request)
        asked = (await self.parts.service.get(request.path_params["request_id"])).request
        wanted = NewDelegation(
            session.person.person_id,
            form.get("to", "").strip(),
            asked.expires_at + _AFTER_THE_REQUEST,
            scope=DelegationScope(request_id=asked.request_id),
            reason=reason_of(form),
        )
        try:
            made = await self.delegations.add(wanted, actor=session.person)
        except HitlError as error:
            return self.parts.refused(error, asked.request_id, session)
        return self.parts.pages.response(
            "message.html",
            title="Delegated",
            text=f"{made.delegate} may now decide this request in your place. You still may, too.",
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            back=f"/requests/{asked.request_id}",
        )


def _conditions(asked: ApprovalRequest, form: Mapping[str, str]) -> Conditions:
    """
    Raises:
        InvalidSubmission: nothing is chosen, or a limit is no number.
    """
    offered = tuple(value for name, value in form.items() if name.startswith("offer."))
    limits: dict[str, LimitValue] = {}
    present = asked.action.limits.model_dump() if isinstance(asked.action, CodeExecution) else {}
    for name, now in present.items():
        text = form.get(f"limit.{name}", "").strip()
        if text and (wanted := _number(f"limits.{name}", text)) != now:
            limits[f"limits.{name}"] = wanted
    if form.get("network") == "none":
        limits["network.mode"] = "none"
    if not offered and not limits:
        raise InvalidSubmission("conditions", "are none: tick one, or lower a limit, or approve without")
    return Conditions(offered, limits)


def _number(field: str, text: str) -> int | float:
    try:
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else float(text)
    except ValueError:
        raise InvalidSubmission(field, "is not a number") from None
