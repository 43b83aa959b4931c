"""Connections that a stranger cannot hold open, or fill memory through, before anything is known of them.

uvicorn bounds neither the size of a request's head nor how long its parts may take to come. Here:

1. a head, or the trailers of a body, has at most 64 KiB;
2. a head is complete 15 seconds after the connection was made, or after its own first byte;
3. a body is complete 120 seconds after its head.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 64 * 1024
HEAD_SECONDS: Final = 15.0
BODY_SECONDS: Final = 120.0

_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedConnection(HttpToolsProtocol):
    """One connection to a client, with bounds on what it may send outside of a body and on its time."""

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS

    # Since the last complete head, piece of a body or end of a message.
    _bytes_outside_of_a_body = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_within(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._bytes_outside_of_a_body += len(data)
        super().data_received(data)
        if self._bytes_outside_of_a_body > MAX_HEAD_BYTES and not self.transport.is_closing():  # 1
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._expect_within(self.head_seconds)  # 2

    def on_headers_complete(self) -> None:
        self._bytes_outside_of_a_body = 0
        self._expect_within(self.body_seconds)  # 3
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bytes_outside_of_a_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._bytes_outside_of_a_body = 0
        self._expect_nothing()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        # From here on another protocol has the connection, with pings of its own.
        self._expect_nothing()
        super().handle_websocket_upgrade()

    def _expect_within(self, seconds: float) -> None:
        self._expect_nothing()
        self._deadline = self.loop.call_later(seconds, self._too_slow, seconds)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self, seconds: float) -> None:
        if self.flow.read_paused:
            # It is this server that does not read on, while an earlier request is being answered.
            self._expect_within(seconds)
            return
        self._deadline = None
        self.transport.abort()
