"""The approval server of this HITL_HOME inside this process, for one agent."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from hitl_mcp.application import Application
from hitl_mcp.approvals.ports import Policy
from hitl_mcp.serving import dispatching_unless_served
from hitl_mcp.settings import Settings, read_settings
from hitl_mcp.wiring import build_application
from server_kit.errors import ConfigurationError
from server_kit.logging import configure_logging


@asynccontextmanager
async def open_home(
    agent: str | None,
    settings: Settings | None = None,
    *,
    around_policy: Callable[[Policy], Policy] | None = None,
) -> AsyncGenerator[Application]:
    """Open it for one agent, or with None for any; deliver notifications when no server is up on it.

    Raises:
        ServerError: with one line on what stops it: among others no such agent, or rules that are refused.
    """
    if settings is None:
        settings = read_settings()
        # A program that has set up its own logging keeps it.
        if not logging.getLogger().handlers:
            configure_logging(level="error", format=settings.log.format)
    async with AsyncExitStack() as stack:
        application = await stack.enter_async_context(
            build_application(settings, around_policy=around_policy)
        )
        if agent is not None and not await application.agents.is_active(agent):
            raise ConfigurationError(
                f"{agent[:80]!r} is no agent of {settings.home}; add it with `hitl agents add NAME`"
            )
        await application.audit.begin()
        # Not at the first request: others that come while it reads them would be judged by no rules at all.
        await application.rules.load()
        await stack.enter_async_context(dispatching_unless_served(application))
        yield application
