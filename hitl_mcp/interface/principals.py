"""Who an HTTP request has proven to come from, as the doors hand it on inside the ASGI scope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_AGENT: Final = "hitl.agent"


def remember_agent(scope: dict[str, Any], agent: str) -> None:
    """State that this request came with the API key of `agent`."""
    scope[_AGENT] = agent


def remembered_agent(scope: Mapping[str, Any]) -> str | None:
    """The agent whose API key came with this request; None when none did."""
    agent = scope.get(_AGENT)
    return agent if isinstance(agent, str) and agent else None
