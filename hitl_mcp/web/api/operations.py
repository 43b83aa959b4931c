"""What operators, probes and executors read: health, readiness, metrics, public keys, the description."""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
import hmac

from fastapi import APIRouter, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hitl_mcp.web.authentication import bearer_of
from hitl_mcp.web.metrics import Metrics
from hitl_mcp.web.parts import WebParts, caller_of
from hitl_mcp.web.problems import problem_of
from server_kit.errors import ServerError
from server_kit.problems import ProblemDetail

_PUBLIC_KEYS_SECONDS = 60


def operation_routes(parts: WebParts, metrics: Metrics, application: FastAPI) -> APIRouter:
    """The routes on these parts; `application` is what the description describes."""
    router = APIRouter()

    @router.get("/health", tags=["operations"])
    async def health() -> dict[str, str]:
        """Whether the process answers at all."""
        return {"status": "ok"}

    @router.get("/ready", tags=["operations"])
    async def ready() -> Response:
        """Whether the server can do its work now: 503 while its database does not answer.

        `rules` is outdated while the files of the rules are broken and earlier ones are kept.
        """

        async def ask(connection: AsyncConnection) -> None:
            await connection.execute(text("SELECT 1"))

        try:
            await parts.database.read(ask)
        except ServerError as error:
            return problem_of(error)
        # Where the files are and what is wrong with them is for operators: see `hitl doctor`.
        outdated = (await parts.rules.state()).problem is not None
        return JSONResponse({"status": "ready", "rules": "outdated" if outdated else "current"})

    @router.get("/.well-known/jwks.json", tags=["operations"])
    async def public_keys() -> Response:
        """The keys that verify this server's capability tokens (RFC 7517)."""
        return JSONResponse(
            parts.public_keys().to_jwks(),
            headers={"Cache-Control": f"public, max-age={_PUBLIC_KEYS_SECONDS}"},
            media_type="application/jwk-set+json",
        )

    @router.get("/.well-known/revoked-tokens", tags=["operations"], response_class=Response)
    async def revoked_tokens() -> Response:
        """Which capability tokens were withdrawn before they expired: a signed, short-lived JWT."""
        try:
            found = await parts.revoked_tokens()
        except ServerError as error:
            return problem_of(error)
        return Response(found, media_type="application/jwt", headers={"Cache-Control": "no-store"})

    @router.get("/metrics", tags=["operations"], response_class=Response)
    async def show_metrics(request: Request) -> Response:
        """Prometheus metrics, for a bearer of the configured metrics token."""
        bearer = bearer_of(request.headers)
        if bearer is None or not _may_scrape(parts, bearer):
            raise ProblemDetail(
                401,
                "credential_missing",
                "Send the token of HITL_HTTP__METRICS_TOKEN as a bearer token; without that setting there "
                "are no metrics to read.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/api/openapi.json", include_in_schema=False)
    async def description(request: Request) -> Response:
        """This API as OpenAPI."""
        caller_of(request)
        return JSONResponse(application.openapi())

    return router


def _may_scrape(parts: WebParts, bearer: str) -> bool:
    expected = parts.metrics_token
    return expected is not None and hmac.compare_digest(expected.encode(), bearer.encode("utf-8", "replace"))
