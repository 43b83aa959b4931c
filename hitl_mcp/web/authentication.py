"""Who is calling over HTTP: checked from the headers alone, before any body is read.

1. Paths that need no credential pass: health, readiness, public keys, signing in, and the pages, which have
   their own sessions and forms.
2. Paths that take a capability token check it themselves.
3. Everything else needs exactly one bearer credential, of a kind that is allowed on that path: an agent's API
   key on /mcp, an agent's key or a person's session on /api. Which of the two a route is for, the route says.

Where a request comes from proves nothing: loopback is treated like any other address.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Protocol

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hitl_mcp.identity.credentials import AGENT_KEY_PREFIX
from hitl_mcp.identity.sessions import SessionRecord, Sessions
from hitl_mcp.interface.principals import remember_agent
from hitl_mcp.web.problems import problem, problem_of
from hitl_mcp.web.throttle import RefusalThrottle
from server_kit.errors import ServerError

SESSION_SCOPE_KEY: Final = "hitl.session"
TOKEN_SCOPE_KEY: Final = "hitl.session_token"  # noqa: S105 - the name of a scope entry
_MISSING: Final = "Send a credential: Authorization: Bearer <an agent's API key, or a person's access token>."
_REFUSED: Final = "This credential is unknown, revoked or expired, or not of a kind that is allowed here."


class Access(StrEnum):
    """What a path asks for."""

    OPEN = "open"
    AGENT = "agent"
    ANYBODY = "anybody"


def access_of(method: str, path: str) -> Access:
    """What a path asks for; whatever is under /api or /mcp and not named here needs a credential."""
    if path == "/mcp" or path.startswith("/mcp/"):
        return Access.AGENT
    if path == "/api/v1/session" and method == "POST":
        return Access.OPEN
    if path.startswith("/api/v1/actions/"):
        return Access.OPEN
    if path == "/api" or path.startswith("/api/"):
        return Access.ANYBODY
    return Access.OPEN


class AgentKeys(Protocol):
    """Whose API key it is."""

    async def authenticate(self, api_key: str) -> str | None:
        """The agent; None for a key that is not one. Raises ServerError."""
        ...


class Authentication:
    """ASGI middleware that names the caller in the scope, or refuses with 401.

    Without `sessions` no person is known.
    """

    def __init__(
        self, app: ASGIApp, *, agents: AgentKeys, sessions: Sessions | None, throttle: RefusalThrottle
    ) -> None:
        self._app = app
        self._agents = agents
        self._sessions = sessions
        self._throttle = throttle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            access = access_of(scope["method"], scope["path"])
            if access is not Access.OPEN:
                scope = dict(scope)
                refusal = await self._admit(scope, access)
                if refusal is not None:
                    await refusal(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    async def _admit(self, scope: dict[str, Any], access: Access) -> Response | None:
        bearer = bearer_of(Headers(scope=scope))
        if bearer is None:
            return problem(401, "credential_missing", _MISSING, headers={"WWW-Authenticate": "Bearer"})
        try:
            known = await self._recognise(scope, bearer, access)
        except ServerError as error:
            return problem_of(error)
        return None if known else self._refuse(scope)

    async def _recognise(self, scope: dict[str, Any], bearer: str, access: Access) -> bool:
        if bearer.startswith(AGENT_KEY_PREFIX):
            agent = await self._agents.authenticate(bearer)
            if agent is not None:
                remember_agent(scope, agent)
            return agent is not None
        if access is Access.AGENT or self._sessions is None:
            return False
        session = await self._sessions.resolve(bearer)
        if session is not None:
            scope[SESSION_SCOPE_KEY] = session
            scope[TOKEN_SCOPE_KEY] = bearer
        return session is not None

    def _refuse(self, scope: Scope) -> Response:
        client = scope.get("client")
        wait = self._throttle.refuse(client[0] if client else "unknown")
        if wait is not None:
            return problem(
                429,
                "too_many_attempts",
                f"Too many wrong credentials from this address. Try again in {wait} seconds.",
                headers={"Retry-After": str(wait)},
            )
        return problem(
            401,
            "credential_refused",
            _REFUSED,
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )


def bearer_of(headers: Headers) -> str | None:
    """The one bearer credential of a request (RFC 6750 section 2.1); None for none, and for two."""
    stated = headers.getlist("authorization")
    if len(stated) != 1:
        return None
    scheme, _, credential = stated[0].partition(" ")
    credential = credential.strip()
    return credential if scheme.lower() == "bearer" and credential else None


def session_of(scope: Scope) -> SessionRecord | None:
    """The person's session that this request came with."""
    session = scope.get(SESSION_SCOPE_KEY)
    return session if isinstance(session, SessionRecord) else None
