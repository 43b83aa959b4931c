"""The desk over the REST API of the server that is up."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import quote

import httpx2
from pydantic import JsonValue

from hitl_contract.action import Action
from hitl_mcp.approvals.models import Conditions
from hitl_mcp.cli.credentials import Credentials
from hitl_mcp.cli.desk import BatchLine
from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.terminal.cards import RequestCard, card_from_json

PAGE_SIZE = 100
_TIMEOUT_SECONDS = 30.0


class RemoteDesk:
    """Implements `Desk`. The bearer token is this command's own, closed at its end."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def pending(self) -> list[RequestCard]:
        cards: list[RequestCard] = []
        cursor: str | None = None
        while True:
            query = {"status": "PENDING", "limit": str(PAGE_SIZE), **({"cursor": cursor} if cursor else {})}
            page = await self._call("GET", "/api/v1/approvals", params=query)
            cards += [card_from_json(document) for document in page["requests"]]
            cursor = page.get("next_cursor")
            if cursor is None:
                return cards

    async def read(self, request_id: str) -> RequestCard:
        return card_from_json(await self._call("GET", _path(request_id)))

    async def approve(
        self,
        request_id: str,
        *,
        action_digest: str,
        reason: str | None = None,
        conditions: Conditions | None = None,
    ) -> RequestCard:
        body: dict[str, object] = {"action_digest": action_digest, "channel": "cli", "reason": reason}
        if conditions is not None:
            body["conditions"] = {"offered": conditions.offered, "limits": dict(conditions.limits)}
        return card_from_json(await self._call("POST", f"{_path(request_id)}/approve", json=body))

    async def approve_several(self, digests: Mapping[str, str], *, reason: str | None) -> list[BatchLine]:
        items = [
            {"request_id": name, "action_digest": digest, "verdict": "approve"}
            for name, digest in digests.items()
        ]
        body = {"items": items, "reason": reason, "channel": "cli"}
        answer = await self._call("POST", "/api/v1/approvals/batch", json=body)
        return [
            BatchLine(
                str(each["request_id"]),
                None if each["approval"] is None else card_from_json(each["approval"]),
                None if each["refusal"] is None else str(each["refusal"]["detail"]),
            )
            for each in answer["results"]
        ]

    async def edit(
        self, request_id: str, *, action: Action, action_digest: str, reason: str | None
    ) -> RequestCard:
        body = {
            "action": action.model_dump(mode="json"),
            "action_digest": action_digest,
            "reason": reason,
            "channel": "cli",
        }
        return card_from_json(await self._call("POST", f"{_path(request_id)}/edit", json=body))

    async def revoke(self, request_id: str, *, reason: str | None) -> RequestCard:
        return card_from_json(
            await self._call("POST", f"{_path(request_id)}/revoke", json={"reason": reason})
        )

    async def deny(self, request_id: str, *, action_digest: str, reason: str | None) -> RequestCard:
        body = {"action_digest": action_digest, "channel": "cli", "reason": reason}
        return card_from_json(await self._call("POST", f"{_path(request_id)}/deny", json=body))

    async def answer(self, request_id: str, *, action_digest: str, answer: JsonValue) -> RequestCard:
        body = {"answer": answer, "action_digest": action_digest, "channel": "cli"}
        return card_from_json(await self._call("POST", f"{_path(request_id)}/answer", json=body))

    async def ask(self, request_id: str, question: str) -> RequestCard:
        body = {"question": question, "channel": "cli"}
        return card_from_json(await self._call("POST", f"{_path(request_id)}/ask", json=body))

    async def cancel(self, request_id: str, *, reason: str | None) -> RequestCard:
        return card_from_json(
            await self._call("POST", f"{_path(request_id)}/cancel", json={"reason": reason})
        )

    async def _call(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, object] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        return await call(self._http, method, path, json=json, params=params)


@asynccontextmanager
async def open_remote_desk(url: str, credentials: Credentials) -> AsyncGenerator[RemoteDesk]:
    """Signs in, and out at the end.

    Raises:
        CommandFailed: the server refused the credentials or cannot be reached.
    """
    async with httpx2.AsyncClient(base_url=url, timeout=_TIMEOUT_SECONDS) as http:
        body = {"person": credentials.person, "password": credentials.password}
        session = await call(http, "POST", "/api/v1/session", json=body)
        http.headers["Authorization"] = f"Bearer {session['access_token']}"
        try:
            yield RemoteDesk(http)
        finally:
            await http.delete("/api/v1/session")


async def call(
    http: httpx2.AsyncClient,
    method: str,
    path: str,
    *,
    json: Mapping[str, object] | None = None,
    params: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """One call of the REST API.

    Raises:
        CommandFailed: with the problem document's own words (RFC 9457).
    """
    try:
        answer = await http.request(method, path, json=json, params=params)
    except httpx2.HTTPError as error:
        raise CommandFailed(
            f"The server at {http.base_url} does not answer ({type(error).__name__}).",
            exit_code=ExitCode.ENVIRONMENT,
            hint="See whether `hitl up` still runs; `hitl doctor` says what is reachable.",
        ) from error
    if answer.is_success:
        return cast("dict[str, Any]", answer.json())
    raise CommandFailed(_explanation(answer), exit_code=_exit_code(answer.status_code))


def _path(request_id: str) -> str:
    return f"/api/v1/approvals/{quote(request_id, safe='')}"


def _explanation(answer: httpx2.Response) -> str:
    try:
        problem = cast("dict[str, Any]", answer.json())
        return str(problem.get("detail") or problem["title"])
    except (ValueError, KeyError, AttributeError):
        return f"The server answered {answer.status_code}."


def _exit_code(status: int) -> ExitCode:
    if status in {401, 403, 429}:
        return ExitCode.IDENTITY
    if status in {400, 413, 415, 422}:
        return ExitCode.USAGE
    return ExitCode.ENVIRONMENT if status >= 500 else ExitCode.REFUSED
