"""Who calls a proxy over HTTP: agents with their own API keys, known to the approval server that is asked.

Implements `web.authentication.AgentKeys`.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from hitl_mcp.gate.engine import ApprovalEngine
from hitl_mcp.gate.errors import EngineRefused, EngineUnavailable
from hitl_mcp.gate.remote import RemoteEngine, connect_engine
from server_kit.errors import ServerError

if TYPE_CHECKING:
    from hitl_mcp.application import Application


class Callers(Protocol):
    """The agents that may call, and in whose name each of them asks."""

    async def authenticate(self, api_key: str) -> str | None:
        """A name that stands for one agent; None for a key that is not one. Raises ServerError."""
        ...

    def engine(self, caller: str) -> ApprovalEngine:
        """The requests of a caller that was authenticated."""
        ...


class CallersAtHome:
    """The agents of this HITL_HOME."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def authenticate(self, api_key: str) -> str | None:
        return await self._application.agents.authenticate(api_key)

    def engine(self, caller: str) -> ApprovalEngine:
        # The whole server: only where there is none to ask.
        from hitl_mcp.gate.embedded import EmbeddedEngine

        return EmbeddedEngine(self._application, caller)


class CallersElsewhere:
    """The agents of the approval server at `url`, which checks each key whenever it is shown."""

    def __init__(self, url: str, closing: AsyncExitStack) -> None:
        self._url = url
        self._closing = closing
        self._engines: dict[str, RemoteEngine] = {}

    async def authenticate(self, api_key: str) -> str | None:
        caller = f"key-{hashlib.sha256(api_key.encode()).hexdigest()[:32]}"
        known = self._engines.get(caller)
        try:
            if known is not None:
                await known.check()
                return caller
            async with AsyncExitStack() as connecting:
                engine = await connecting.enter_async_context(connect_engine(self._url, api_key))
                await engine.check()
                if caller not in self._engines:
                    self._engines[caller] = engine
                    self._closing.push_async_exit(connecting.pop_all())
                return caller
        except EngineUnavailable as error:
            raise ServerError(str(error)) from error
        except EngineRefused:
            return None

    def engine(self, caller: str) -> ApprovalEngine:
        return self._engines[caller]


@asynccontextmanager
async def callers_of(url: str) -> AsyncGenerator[Callers]:
    """The agents of the approval server at `url`."""
    async with AsyncExitStack() as closing:
        yield CallersElsewhere(url, closing)
