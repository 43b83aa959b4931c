"""A service that answers over real HTTP, for tests of what asks one."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.types import Receive, Scope, Send

from server_kit.http_serving import Address, serve


class HttpService(ABC):
    """An ASGI application that begins and ends with its server; `url` is where it is then."""

    url: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        await self.answer(scope, receive, send)

    @abstractmethod
    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""


Service = TypeVar("Service", bound=HttpService)


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[Service]:
    """Serves on a free port of this host, and stops."""
    stop = asyncio.Event()
    ready: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(service, Address("127.0.0.1", 0), ready=ready.set_result, stop=stop, graceful_seconds=1)
    )
    service.url = (await ready).url
    try:
        yield service
    finally:
        stop.set()
        await task
