"""Checks the executor API key of a request before anything else sees it."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from executor_mcp.agents import AgentDirectory
from executor_mcp.tools.caller import AGENT_SCOPE_KEY
from server_kit.errors import DatabaseUnavailable
from server_kit.problems import ProblemDetail

_GUARDED = ("/mcp", "/api/")


class ApiKeyMiddleware:
    """Leaves the agent's name in the scope.

    A key that is given must be good; one is needed where that is required.
    """

    def __init__(self, application: ASGIApp, *, agents: AgentDirectory, required: bool) -> None:
        self._application = application
        self._agents = agents
        self._required = required

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not str(scope["path"]).startswith(_GUARDED):
            await self._application(scope, receive, send)
            return
        try:
            scope[AGENT_SCOPE_KEY] = await self._agent(Headers(scope=scope).getlist("authorization"))
        except ProblemDetail as problem:
            if scope["type"] == "websocket":
                # Before it is accepted: the client is answered 403.
                await send({"type": "websocket.close", "code": 4401, "reason": problem.code})
            else:
                await problem.response()(scope, receive, send)
            return
        await self._application(scope, receive, send)

    async def _agent(self, authorization: list[str]) -> str | None:
        if not authorization:
            if self._required:
                raise _refusal("api_key_required", "this executor needs an API key with every call")
            return None
        scheme, _, api_key = authorization[0].partition(" ")
        if len(authorization) > 1 or scheme.lower() != "bearer":
            raise _refusal("invalid_api_key", "one Authorization header of the form Bearer <api key> is read")
        try:
            agent = await self._agents.authenticate(api_key.strip())
        except DatabaseUnavailable as error:
            headers = {"Retry-After": "5"}
            detail = "the API key cannot be checked now; try again"
            raise ProblemDetail(503, "storage_unavailable", detail, headers=headers) from error
        if agent is None:
            raise _refusal(
                "invalid_api_key",
                "the API key is not known here or was revoked; a capability token goes into the body, "
                "not here",
            )
        return agent


def _refusal(code: str, detail: str) -> ProblemDetail:
    return ProblemDetail(401, code, detail, headers={"WWW-Authenticate": "Bearer"})
