"""Which agent is calling, where an executor API key says so."""

from __future__ import annotations

from typing import Any, Final, Protocol

from mcp.server.context import ServerRequestContext

from executor_mcp.errors import CredentialRequired

AGENT_SCOPE_KEY: Final = "executor.agent"
"""Where the HTTP door leaves the name of the agent whose API key it has checked, in the ASGI scope."""


class CallerResolver(Protocol):
    """One per transport, so that no transport falls back to another's."""

    def agent(self, context: ServerRequestContext[Any, Any]) -> str | None:
        """The agent's name; None when no API key came with the call."""
        ...


class BearerCaller:
    """Over HTTP: the agent whose API key came with this very request."""

    def agent(self, context: ServerRequestContext[Any, Any]) -> str | None:
        scope: object = getattr(context.request, "scope", None)
        agent: object = scope.get(AGENT_SCOPE_KEY) if isinstance(scope, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return agent if isinstance(agent, str) else None


class ConfiguredCaller:
    """Over stdio: the agent whose API key this process was started with, if any."""

    def __init__(self, agent: str | None) -> None:
        self._agent = agent

    def agent(self, context: ServerRequestContext[Any, Any]) -> str | None:
        return None if context.request is not None else self._agent


def require_agent(agent: str | None) -> str:
    """Raises CredentialRequired, saying where the key comes from and where it goes."""
    if agent is None:
        raise CredentialRequired(
            "an executor API key is needed: an operator makes one with hitl-executor agents add NAME; "
            "over HTTP send "
            "it as Authorization: Bearer <api key>, over stdio set EXECUTOR_API_KEY"
        )
    return agent
