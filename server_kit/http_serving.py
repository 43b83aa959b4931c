"""Serving an ASGI application: a clear line when the port is taken, word when ready, a graceful end on a
signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import uvicorn
import uvloop

from server_kit.errors import ConfigurationError, PortInUse, ServerError
from server_kit.http_connections import BoundedConnection

T = TypeVar("T")

GRACEFUL_SECONDS = 10
BACKLOG = 2048
MAX_WEBSOCKET_MESSAGE_BYTES = 4096
_STOPPING = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Address:
    """Where a server listens. Port 0 asks for any free one."""

    host: str
    port: int

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine on uvloop."""
    return uvloop.run(main)


def bind(address: Address) -> socket.socket:
    """Take the address, before anything expensive is started.

    Raises PortInUse, or ConfigurationError for an address that this machine does not have or may not use.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigurationError(f"the host {address.host!r} has no address: {error.strerror}") from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            message = f"port {address.port} on {address.host} is in use by another process"
            raise PortInUse(f"{message}; stop it or choose another port") from error
        raise ConfigurationError(f"cannot listen on {address.url}: {error.strerror}") from error
    listening.setblocking(False)
    return listening


async def serve(
    application: Any,
    address: Address,
    *,
    ready: Callable[[Address], None] | None = None,
    stop: asyncio.Event | None = None,
    listening: socket.socket | None = None,
    ending: Callable[[], None] | None = None,
    graceful_seconds: int = GRACEFUL_SECONDS,
    websockets: bool = False,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`; then let requests in progress end within `graceful_seconds`.

    `ending` is called when the end begins: what only waits can then stop waiting.
    `ready` is called with the real address once requests are answered. `listening` is a socket from `bind`;
    without it one is made. `websockets`: whether the application has any. Raises what `bind` raises, and
    ServerError when the application's own start failed.
    """
    taken = listening or bind(address)
    config = uvicorn.Config(
        application,
        http=BoundedConnection,
        log_config=None,
        access_log=False,
        server_header=False,
        # Who calls is never taken from a header that the caller writes.
        proxy_headers=False,
        lifespan="on",
        ws="websockets-sansio" if websockets else "none",
        ws_max_size=MAX_WEBSOCKET_MESSAGE_BYTES,
        # Compression would hold a window of memory for each, and output is written by strangers.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=graceful_seconds,
    )
    server = _Server(config, ready, ending, Address(address.host, taken.getsockname()[1]))
    watching = asyncio.create_task(_stop_on(stop, server)) if stop is not None else None
    try:
        with _signals(server):
            await server.serve(sockets=[taken])
    finally:
        if watching is not None:
            watching.cancel()
        taken.close()


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[Address], None] | None,
        ending: Callable[[], None] | None,
        address: Address,
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._ending = ending
        self._address = address
        self._told_to_end = asyncio.Event()

    def end(self) -> None:
        """Begin the shutdown; asked twice, do not wait for anybody."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._told_to_end.set()
        if self._ending is not None:
            self._ending()

    async def main_loop(self) -> None:
        # uvicorn's own looks ten times a second whether to end, half of what an idle server costs. Each
        # `on_tick(0)` renews the Date header.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._told_to_end.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            raise ServerError("the server did not start; the log above says why") from None
        if self.started and self._ready is not None:
            self._ready(self._address)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        # uvicorn would raise the signal again after the shutdown, and the process would end as if killed by
        # it.
        yield


@contextlib.contextmanager
def _signals(server: _Server) -> Generator[None]:
    loop = asyncio.get_running_loop()
    handled: list[signal.Signals] = []
    try:
        for number in _STOPPING:
            # Only the main thread may; elsewhere (tests) `stop` is used.
            with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
                loop.add_signal_handler(number, server.end)
                handled.append(number)
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


async def _stop_on(stop: asyncio.Event, server: _Server) -> None:
    await stop.wait()
    server.end()
