"""Routes for those who operate the executor: health, readiness, metrics and the public keys."""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
import asyncio
import hmac
import time
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.assembly import Executor
from executor_mcp.errors import KeySourceUnavailable
from executor_mcp.sandbox.errors import SandboxError
from server_kit.errors import ServerError
from server_kit.problems import ProblemDetail

REMEMBERED_SECONDS: Final = 2.0


def operations_router(executor: Executor, *, metrics_token: str | None) -> APIRouter:
    router = APIRouter(tags=["operations"])
    readiness = Readiness(executor)

    @router.get("/health")
    async def health() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @router.get("/ready")
    async def ready() -> Response:
        """Whether a call could be served now: database, sandbox and the issuer's keys."""
        problems = await readiness.problems()
        body: dict[str, Any] = {"status": "ready" if not problems else "not_ready", "problems": problems}
        return JSONResponse(body, status_code=503 if problems else 200)

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Prometheus text format, for the metrics token or an executor API key."""
        credential = request.headers.get("authorization", "").removeprefix("Bearer ")
        allowed = metrics_token is not None and hmac.compare_digest(
            credential.encode(), metrics_token.encode()
        )
        if not allowed and await executor.ledger.agents.authenticate(credential) is None:
            headers = {"WWW-Authenticate": "Bearer"}
            detail = (
                "send EXECUTOR_HTTP__METRICS_TOKEN or an executor API key as Authorization: Bearer <token>"
            )
            raise ProblemDetail(401, "credential_required", detail, headers=headers)
        return Response(executor.measurements.exposition(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/.well-known/jwks.json")
    async def public_keys() -> dict[str, Any]:
        """The keys that this executor's receipts and audit checkpoints are signed with."""
        return executor.receipt_key.public_keys().to_jwks()

    return router


class Readiness:
    """Asks each part at most every few seconds: the route is open to everybody and a sandbox's check costs a
    try.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._lock = asyncio.Lock()
        self._known: list[str] = []
        self._until = float("-inf")

    async def problems(self) -> list[str]:
        """One line for each part that does not answer."""
        async with self._lock:
            if time.monotonic() >= self._until:
                self._known = await self._ask()
                self._until = time.monotonic() + REMEMBERED_SECONDS
            return self._known

    async def _ask(self) -> list[str]:
        problems: list[str] = []
        try:
            await self._executor.ledger.database.read(_look)
        except ServerError as error:
            problems.append(f"database: {error}")
        try:
            await self._executor.keys.keys(None)
        except KeySourceUnavailable as error:
            problems.append(f"issuer keys: {error}")
        try:
            health = await self._executor.sandbox.check()
        except SandboxError as error:
            problems.append(f"sandbox: {error}")
        else:
            if not health.ready:
                problems.append(f"sandbox: {health.problem}")
        return problems


async def _look(connection: AsyncConnection) -> None:
    await connection.execute(text("SELECT 1"))
