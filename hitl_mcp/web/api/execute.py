"""POST /execute: hands an execution on to the executor, for callers that reach only this server.

The capability token is the credential, as it is at the executor, which checks everything. Here its signature
is checked first, so that nobody without one of this server's tokens can make this server call another.
"""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
from typing import Any, Final

import httpx2
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from hitl_contract.errors import RefusalCode, TokenRefused
from hitl_contract.verify import verify_token
from hitl_mcp.web.bodies import json_object
from hitl_mcp.web.parts import WebParts
from server_kit.problems import ProblemDetail

TOKEN_HEADER: Final = "X-Capability-Token"  # noqa: S105 - the name of a header
RETRY_AFTER_SECONDS: Final = 5
_LONGEST_ANSWER_SECONDS: Final = 3700.0


class ExecutorGateway:
    """The way to one executor."""

    def __init__(self, client: httpx2.AsyncClient, executor_url: str) -> None:
        self._client = client
        self._url = f"{executor_url.rstrip('/')}/api/v1/execute"

    async def execute(self, token: str, body: dict[str, Any]) -> Response:
        """The executor's answer as it gave it.

        Raises:
            ProblemDetail: 503 when it was not reached, so that the token is unspent; 502 when it was
                reached and its answer was lost, so that the token may be spent.
        """
        try:
            answer = await self._client.post(
                self._url,
                json={**body, "capability_token": token},
                headers={TOKEN_HEADER: token},
                timeout=httpx2.Timeout(_LONGEST_ANSWER_SECONDS, connect=5.0),
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            raise ProblemDetail(
                503,
                "executor_unreachable",
                "The executor cannot be reached. The token was not spent: try again with the same one.",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            ) from None
        except httpx2.HTTPError:
            raise ProblemDetail(
                502,
                "executor_answer_lost",
                "The executor's answer was lost. Try again with the same token: if it was spent, the refusal "
                "names the execution, whose result can be read at the executor.",
            ) from None
        headers = {name: answer.headers[name] for name in ("Retry-After",) if name in answer.headers}
        headers["Cache-Control"] = "no-store"
        return Response(
            answer.content,
            answer.status_code,
            media_type=answer.headers.get("content-type", "application/json"),
            headers=headers,
        )


def execute_routes(parts: WebParts, gateway: ExecutorGateway) -> APIRouter:
    """The route on these parts."""
    router = APIRouter(tags=["execution"])

    @router.post("/execute", response_class=Response)
    async def execute(request: Request) -> Response:
        """Run the approved action of the token in `X-Capability-Token`, once."""
        token = _token_of(request)
        _require_own(parts, token)
        body = await json_object(request, may_be_empty=True)
        body.pop("capability_token", None)
        return await gateway.execute(token, body)

    return router


def _token_of(request: Request) -> str:
    stated = request.headers.getlist(TOKEN_HEADER)
    if len(stated) != 1 or not stated[0].strip():
        raise ProblemDetail(
            401, "credential_missing", f"Send the capability token in the header {TOKEN_HEADER}."
        )
    return stated[0].strip()


def _require_own(parts: WebParts, token: str) -> None:
    try:
        verify_token(
            token, keys=parts.public_keys(), policy=parts.token_policy, now=parts.clock.now().timestamp()
        )
    except TokenRefused as error:
        # Behind a good signature the executor's refusal is the better one, and belongs into its audit log.
        if error.code is RefusalCode.INVALID_TOKEN:
            raise
