"""The approval engine of this HITL_HOME in this process. Implements `engine.ApprovalEngine`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from hitl_contract.action import Action
from hitl_mcp.approvals.errors import AlreadySpent, ApprovalError
from hitl_mcp.approvals.models import (
    Assurance,
    DecisionInput,
    RequestRecord,
    RequestStatus,
    Submission,
    Verdict,
)
from hitl_mcp.gate.answers import request_of
from hitl_mcp.gate.errors import AlreadyUsed, EngineRefused, EngineUnavailable
from hitl_mcp.gate.values import GateRequest
from server_kit.errors import ServerError

if TYPE_CHECKING:
    from hitl_mcp.application import Application

CHANNEL: Final = "library"
_PAGE: Final = 100


class EmbeddedEngine:
    """Acts for `agent`, which whoever opened the application has found to be registered."""

    def __init__(self, application: Application, agent: str) -> None:
        self._application = application
        self._service = application.service
        self._agent = agent

    async def submit(self, submission: Submission) -> GateRequest:
        async with self._errors():
            return self._request(await self._service.submit(self._agent, submission))

    async def wait(self, request_id: str, seconds: float) -> GateRequest:
        async with self._errors():
            await self._service.get_for_agent(self._agent, request_id)
            return self._request(await self._service.wait(request_id, seconds))

    async def spend(self, request_id: str, use: str) -> Action:
        async with self._errors():
            spent = await self._service.spend(self._agent, request_id, use=use)
            if not spent.first:
                raise AlreadyUsed(f"The approval of request {request_id} was used up for this very act.")
            return spent.request.action

    async def pending(self) -> tuple[GateRequest, ...]:
        found: list[GateRequest] = []
        cursor: str | None = None
        async with self._errors():
            while True:
                page = await self._service.list_for_agent(
                    self._agent, status=RequestStatus.PENDING, limit=_PAGE, cursor=cursor
                )
                found += [self._request(record) for record in page.records]
                cursor = page.next_cursor
                if cursor is None:
                    return tuple(found)

    async def cancel(self, request_id: str, reason: str | None) -> GateRequest:
        async with self._errors():
            return self._request(
                await self._service.cancel(request_id, agent=self._agent, person=None, reason=reason)
            )

    async def respond(
        self,
        request_id: str,
        verdict: Verdict,
        seen_digest: str,
        *,
        person: str,
        password: str,
        reason: str | None,
    ) -> GateRequest:
        """Raises SignInRefused, TooManyAttempts, besides what `ApprovalService.decide` refuses."""
        known = await self._application.people.authenticate(person, password)
        async with self._errors():
            await self._service.get_for_agent(self._agent, request_id)
            decision = DecisionInput(
                request_id=request_id,
                person=known.person_id,
                verdict=verdict,
                reason=reason,
                channel=CHANNEL,
                assurance=Assurance.SESSION,
                action_digest=seen_digest,
                evidence={"proof": "password"},
            )
            return self._request(await self._service.decide(decision))

    def _request(self, record: RequestRecord) -> GateRequest:
        return request_of(self._application.views.without_token(record))

    @asynccontextmanager
    async def _errors(self) -> AsyncGenerator[None]:
        try:
            yield
        except AlreadySpent as error:
            raise AlreadyUsed(str(error)) from None
        except ApprovalError as error:
            raise EngineRefused(str(error)) from error
        except ServerError as error:
            raise EngineUnavailable(str(error)) from error
