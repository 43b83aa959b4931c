"""The person's place in the story: a password and the REST API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx2


class ApproverApi:
    """One person, signed in."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def pending(self) -> list[dict[str, Any]]:
        """Every request that waits for a decision, in short."""
        answer = await self._http.get("/api/v1/approvals", params={"status": "PENDING"})
        answer.raise_for_status()
        return cast("list[dict[str, Any]]", answer.json()["requests"])

    async def read(self, request_id: str) -> dict[str, Any]:
        answer = await self._http.get(f"/api/v1/approvals/{request_id}")
        answer.raise_for_status()
        return cast("dict[str, Any]", answer.json())

    async def decide(
        self, request_id: str, verdict: str, *, action_digest: str, reason: str | None = None
    ) -> None:
        """Approves or denies; `action_digest` is of what this person was shown."""
        body = {"action_digest": action_digest, "channel": "cli", **({"reason": reason} if reason else {})}
        answer = await self._http.post(f"/api/v1/approvals/{request_id}/{verdict}", json=body)
        answer.raise_for_status()


@asynccontextmanager
async def sign_in(url: str, person: str, password: str) -> AsyncGenerator[ApproverApi]:
    async with httpx2.AsyncClient(base_url=url, timeout=30.0) as http:
        answer = await http.post("/api/v1/session", json={"person": person, "password": password})
        answer.raise_for_status()
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield ApproverApi(http)
