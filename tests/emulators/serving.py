"""What both emulators share: a server on a free port, faults on demand, waiting for what happens."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """How one coming call goes wrong. `after` lets the call take effect before its answer is lost."""

    status: int = 500
    retry_after: int | None = None
    drop_connection: bool = False
    after: bool = False
    error: str | None = None


class Emulator:
    """A service that tests start, break and watch."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, object]]] = []
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def application(self) -> web.Application:
        raise NotImplementedError

    async def start(self) -> None:
        self._runner = web.AppRunner(self.application(), shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def fail(self, method: str, *faults: Fault) -> None:
        """Make the next calls of `method` go wrong, one fault each."""
        self._faults[method].extend(faults)

    def next_fault(self, method: str) -> Fault | None:
        return self._faults[method].popleft() if self._faults[method] else None

    def called(self, method: str) -> list[dict[str, object]]:
        """The arguments of each call of `method` that was let through."""
        return [arguments for name, arguments in self.calls if name == method]

    async def note(self) -> None:
        """Wake those who wait in `until`."""
        async with self._changed:
            self._changed.notify_all()

    async def until(self, look: Callable[[], T | bool | None], timeout_seconds: float = 10.0) -> T:
        """The first true value of `look`, looked at again whenever something happened here."""
        async with asyncio.timeout(timeout_seconds), self._changed:
            while not (value := look()):
                await self._changed.wait()
        return value  # type: ignore[return-value]


async def dropped(request: web.Request) -> web.Response:
    """Close the connection instead of answering."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


Handler = Callable[[dict[str, object]], Awaitable[object]]


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
