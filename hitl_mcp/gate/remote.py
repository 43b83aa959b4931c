"""The approval server elsewhere, with an agent's API key. Implements `engine.ApprovalEngine`.

An agent's key asks and uses; it never decides, so `respond` is not possible here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn, cast
from urllib.parse import quote

import httpx2
from pydantic import JsonValue, ValidationError

from hitl_contract.action import Action, action_digest, canonical_action, parse_action
from hitl_contract.canonical import parse_strict_json
from hitl_contract.errors import InvalidAction
from hitl_mcp.approvals.models import Submission, Verdict
from hitl_mcp.gate.answers import request_of
from hitl_mcp.gate.errors import AlreadyUsed, EngineRefused, EngineUnavailable, GateError, NotPossible
from hitl_mcp.gate.values import GateRequest
from hitl_mcp.interface.answers import ApprovalAnswer

_ANSWER_SECONDS: Final = 30.0
_HELD_SECONDS: Final = 25


class RemoteEngine:
    """Talks REST over `http`, whose base URL is the server's and which carries the agent's key."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def check(self) -> None:
        """Raises EngineRefused when the key is not good, EngineUnavailable when nobody can say."""
        await self._call("GET", "/api/v1/approvals", params={"limit": "1"})

    async def submit(self, submission: Submission) -> GateRequest:
        return _request(await self._call("POST", "/api/v1/uses", json=_arguments(submission)))

    async def wait(self, request_id: str, seconds: float) -> GateRequest:
        held = str(max(0, min(_HELD_SECONDS, round(seconds))))
        return _request(await self._call("GET", f"{_use(request_id)}/wait", params={"timeout_seconds": held}))

    async def spend(self, request_id: str, use: str) -> Action:
        answer = await self._call("POST", _use(request_id), json={"use": use})
        if answer.get("first") is not True:
            raise AlreadyUsed(f"The approval of request {request_id} was used up for this very act.")
        try:
            action = parse_action(answer.get("action"))
        except InvalidAction as error:
            raise EngineRefused("The server's answer is no action. Nothing may be done.") from error
        if action_digest(action) != answer.get("action_digest"):
            raise EngineRefused("The server's action is not the one its digest names. Nothing may be done.")
        return action

    async def pending(self) -> tuple[GateRequest, ...]:
        found: list[GateRequest] = []
        query = {"status": "PENDING", "limit": "100"}
        while True:
            page = await self._call("GET", "/api/v1/approvals", params=query)
            found += [_request(each) for each in page.get("requests", [])]
            cursor = page.get("next_cursor")
            if not isinstance(cursor, str):
                return tuple(found)
            query = {**query, "cursor": cursor}

    async def cancel(self, request_id: str, reason: str | None) -> GateRequest:
        path = f"/api/v1/approvals/{quote(request_id, safe='')}/cancel"
        return _request(await self._call("POST", path, json={"reason": reason}))

    async def respond(
        self,
        request_id: str,  # noqa: ARG002 - the port's signature
        verdict: Verdict,  # noqa: ARG002
        seen_digest: str,  # noqa: ARG002
        *,
        person: str,  # noqa: ARG002
        password: str,  # noqa: ARG002
        reason: str | None,  # noqa: ARG002
    ) -> NoReturn:
        raise NotPossible(
            "An agent's key never decides. A person decides on the request's page, in a chat or with "
            "`hitl approve`."
        )

    async def _call(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, JsonValue] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            response = await self._http.request(
                method, path, json=json, params=params, timeout=_ANSWER_SECONDS + _HELD_SECONDS
            )
        except httpx2.HTTPError as error:
            raise EngineUnavailable(
                f"The approval server at {self._http.base_url} does not answer ({type(error).__name__})."
            ) from error
        try:
            document: object = response.json()
        except ValueError:
            document = None
        fields = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
        if response.is_success and fields:
            return fields
        raise _refusal(response.status_code, fields)


@asynccontextmanager
async def connect_engine(url: str, api_key: str) -> AsyncGenerator[RemoteEngine]:
    """The engine behind the server at `url`. No redirect is followed: the key goes nowhere else."""
    headers = {"Authorization": f"Bearer {api_key}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, follow_redirects=False) as http:
        yield RemoteEngine(http)


def _refusal(status: int, problem: Mapping[str, Any]) -> GateError:
    detail = str(problem.get("detail") or f"The approval server answered {status}.")
    if problem.get("code") == "already_spent":
        return AlreadyUsed(detail)
    if status == 429 or status >= 500:
        return EngineUnavailable(detail)
    return EngineRefused(detail)


def _request(document: object) -> GateRequest:
    try:
        return request_of(ApprovalAnswer.model_validate(document))
    except ValidationError as error:
        raise EngineRefused("The server's answer is not one of an approval server.") from error


def _arguments(submission: Submission) -> dict[str, JsonValue]:
    stated: dict[str, Any] = {
        "action": parse_strict_json(canonical_action(submission.action)),
        "justification": submission.justification,
        "summary": submission.summary,
        "risk_level": submission.risk_level.value if submission.risk_level else None,
        "timeout_seconds": submission.timeout_seconds,
        "idempotency_key": submission.idempotency_key,
        "trace_id": submission.trace_id,
        "metadata": dict(submission.metadata),
    }
    return {name: value for name, value in stated.items() if value is not None}


def _use(request_id: str) -> str:
    return f"/api/v1/uses/{quote(request_id, safe='')}"
