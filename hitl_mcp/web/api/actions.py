"""/api/v1/actions/{digest}: the bytes of an approved action, for who holds a token that names them.

An agent need not retype a program for the executor: the executor reads it here under the token it was given,
and checks its digest. The checks, in order:

1. one bearer credential, a capability token of this server (signature, type, issuer, audience, times);
2. the digest in the path is the one in the token;
3. the bytes are there.
"""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from hitl_contract.verify import verify_token
from hitl_mcp.web.authentication import bearer_of
from hitl_mcp.web.parts import WebParts
from server_kit.problems import ProblemDetail


def action_routes(parts: WebParts) -> APIRouter:
    """The route on these parts."""
    router = APIRouter(prefix="/api/v1/actions", tags=["actions"])

    @router.get("/{digest}", response_class=Response)
    async def show(request: Request, digest: str) -> Response:
        """The canonical bytes (RFC 8785) of the action with this digest."""
        token = bearer_of(request.headers)
        if token is None:
            raise ProblemDetail(
                401,
                "credential_missing",
                "Send the capability token that names this digest as a bearer token.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        verified = verify_token(  # 1
            token, keys=parts.public_keys(), policy=parts.token_policy, now=parts.clock.now().timestamp()
        )
        if verified.claims.action_digest != digest:  # 2
            raise ProblemDetail(
                403, "action_mismatch", "This token names another action than the one asked for."
            )
        canonical = await parts.service.approved_action(digest)  # 3
        return Response(
            canonical, media_type="application/json", headers={"Cache-Control": "private, no-store"}
        )

    return router
