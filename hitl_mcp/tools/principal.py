"""Which agent is calling a tool."""

from __future__ import annotations

from typing import Any, Protocol

from mcp.server.context import ServerRequestContext

from hitl_mcp.errors import CredentialRefused
from hitl_mcp.interface.principals import remembered_agent


class PrincipalResolver(Protocol):
    """Names the calling agent. One per transport, so that no transport falls back to another's."""

    async def agent(self, context: ServerRequestContext[Any, Any]) -> str:
        """The agent's name.

        Raises:
            CredentialRefused: nobody has proven to be an agent.
        """
        ...


class Directory(Protocol):
    """Knows which agents there are; implemented by `identity.agents.AgentDirectory`."""

    async def is_active(self, name: str) -> bool:
        """Whether there is an agent of this name that is not revoked."""
        ...


class BearerPrincipal:
    """Over HTTP: the agent whose API key came with this very request."""

    async def agent(self, context: ServerRequestContext[Any, Any]) -> str:
        agent = remembered_agent(getattr(context.request, "scope", {}))
        if agent is None:
            raise CredentialRefused("Send the agent's API key as: Authorization: Bearer <api key>")
        return agent


class ConfiguredPrincipal:
    """Over stdio: the one agent that the process was started for, until it is revoked."""

    def __init__(self, agent: str, directory: Directory) -> None:
        self._agent = agent
        self._directory = directory

    async def agent(self, context: ServerRequestContext[Any, Any]) -> str:
        if context.request is not None:
            raise CredentialRefused("This identity is for stdio only.")
        if not await self._directory.is_active(self._agent):
            raise CredentialRefused(
                f"Agent {self._agent} was revoked. Only an operator can add it again, with `hitl agents add`."
            )
        return self._agent
