"""The plugin of proxy.py that lets one execution's connections through: its requests are parsed there, and
decided on by `Egress`.

A tunnel (CONNECT) is answered before there is a connection, so that the client shows the name it wants from
TLS; nothing is resolved or connected until it has. A plain request is sent in its own connection, which ends
with its answer, under the name that was checked.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import select
import selectors
import socket
import threading
from collections.abc import Coroutine
from typing import Any, TextIO, TypeVar, cast

from proxy.common.utils import build_http_response
from proxy.core.connection import TcpServerConnection
from proxy.http import HttpProtocolHandler
from proxy.http.exception import HttpRequestRejected
from proxy.http.plugin import HttpProtocolHandlerPlugin
from proxy.http.protocols import httpProtocols
from proxy.http.responses import PROXY_TUNNEL_ESTABLISHED_RESPONSE_PKT

from executor_mcp.network.client_hello import MAX_HELLO_BYTES, NotTls, parse_client_hello
from executor_mcp.network.egress import Egress
from executor_mcp.network.errors import EgressRefused, Verdict

T = TypeVar("T")
_MOST_QUEUED = 8
"""Pieces, of at most 128 KiB, that wait for a slow reader before the other side is read no further."""

_HEAD_BYTES = 65536
_HEAD_LINES = 200
_END_OF_HEAD = b"\r\n\r\n"
_BODY_BYTES = 16 * 1024 * 1024
"""A plain request is kept whole before it is sent; what is larger goes through a tunnel."""

_BROKEN = select.POLLHUP | select.POLLERR | select.POLLNVAL
_HOP_HEADERS = [b"Proxy-Authorization", b"Proxy-Connection", b"Connection", b"Upgrade", b"Host", b"TE"]


class Report:
    """Lines of JSON: when a connection is asked for, when it is made (with nothing sent), and at its end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    def number(self) -> int:
        """For the lines of one connection, of which the last counts."""
        return next(self._numbers)

    def write(self, number: int, **connection: str | int | None) -> None:
        with self._lock:
            self._stream.write(json.dumps({"number": number, "connection": connection}) + "\n")
            self._stream.flush()


class EgressPlugin(HttpProtocolHandlerPlugin):
    """One for each connection of a client."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._egress = cast("Egress", self.flags.egress)
        self._report = cast("Report", self.flags.report)
        self._number = self._report.number()
        self._upstream: TcpServerConnection | None = None
        self._hello = b""
        self._name = ""
        self._port = 0
        self._address: str | None = None
        self._verdict = Verdict.UNFINISHED
        self._ended = False
        self._sent = 0
        self._received = 0

    @staticmethod
    def protocols() -> list[int]:
        return [httpProtocols.HTTP_PROXY]

    def on_request_complete(self) -> socket.socket | bool:
        host, self._port = (self.request.host or b"").decode("ascii", "replace"), int(self.request.port or 0)
        self._name = host[:253]
        # What kills this process must not keep a connection from the record.
        self._write(Verdict.UNFINISHED)
        with self._refusals():
            self._name = self._egress.check_name(host, self._port)
            if self.request.is_https_tunnel:
                self.client.queue(PROXY_TUNNEL_ESTABLISHED_RESPONSE_PKT)
                return False
            self._connect()
        self.request.del_headers(_HOP_HEADERS)
        port = "" if self._port == 80 else f":{self._port}"
        self.request.add_headers([(b"Host", f"{self._name}{port}".encode()), (b"Connection", b"close")])
        self._send(memoryview(self.request.build()))
        return False

    def on_client_data(self, raw: memoryview) -> None:
        if not self.request.is_https_tunnel:
            # A second request in the same connection: the first one's answer ends it.
            return
        if self._upstream is not None:
            self._send(raw)
            return
        self._hello += bytes(raw)
        with self._refusals():
            try:
                hello = parse_client_hello(self._hello)
            except NotTls as error:
                raise EgressRefused(Verdict.NOT_TLS, "only TLS goes through a tunnel") from error
            if hello is None and len(self._hello) <= 2 * MAX_HELLO_BYTES:
                return
            if hello is None:
                raise EgressRefused(Verdict.NOT_TLS, "the TLS client hello is too large")
            self._egress.check_hello(self._name, hello)
            self._connect()
        self._send(memoryview(self._hello))

    async def get_descriptors(self) -> tuple[list[int], list[int]]:
        upstream = self._upstream
        if upstream is None or self._ended:
            return [], []
        number = upstream.connection.fileno()
        readable = len(self.client.buffer) < _MOST_QUEUED
        return ([number] if readable else []), ([number] if upstream.has_buffer() else [])

    async def write_to_descriptors(self, w: list[int]) -> bool:
        if self._upstream is None or self._upstream.connection.fileno() not in w:
            return False
        try:
            self._upstream.flush(self.flags.max_sendbuf_size)
        except OSError:
            return True
        return False

    async def read_from_descriptors(self, r: list[int]) -> bool:
        if self._upstream is None or self._upstream.connection.fileno() not in r:
            return False
        try:
            raw = self._upstream.recv(self.flags.server_recvbuf_size)
        except BlockingIOError:
            return False
        except OSError:
            raw = None
        if raw is None:
            self._ended = True
            return True
        self._received += len(raw)
        self.client.queue(raw)
        return False

    def on_response_chunk(self, chunk: list[memoryview]) -> list[memoryview]:
        return chunk

    def on_client_connection_close(self) -> None:
        if self._upstream is not None:
            with contextlib.suppress(OSError):
                self._upstream.connection.close()
        self._write(self._verdict)

    @property
    def is_congested(self) -> bool:
        """Whether the server takes less than the client sends."""
        return self._upstream is not None and len(self._upstream.buffer) >= _MOST_QUEUED

    def _connect(self) -> None:
        reached = self._egress.reach(self._name, self._port)
        reached.connection.setblocking(False)
        upstream = TcpServerConnection(reached.address, self._port)
        upstream._conn = reached.connection  # pyright: ignore[reportPrivateUsage] - never by name
        upstream.closed = False
        self._upstream, self._address, self._verdict = upstream, reached.address, Verdict.ALLOWED
        self._write(Verdict.CUT_OFF)

    def _write(self, verdict: Verdict) -> None:
        self._report.write(
            self._number,
            host=self._name,
            port=self._port,
            address=self._address,
            verdict=verdict.value,
            sent=self._sent,
            received=self._received,
        )

    def _send(self, data: memoryview) -> None:
        assert self._upstream is not None
        self._sent += len(data)
        self._upstream.queue(data)

    @contextlib.contextmanager
    def _refusals(self) -> Any:
        try:
            yield
        except EgressRefused as error:
            self._verdict = error.verdict
            # After 200 there is TLS to come, in which an answer would be noise.
            status = None if self._hello else 403
            body = f"{error.explanation}\n".encode()
            raise HttpRequestRejected(status_code=status, reason=b"Forbidden", body=body) from error


class EgressHandler(HttpProtocolHandler):
    """proxy.py's own, with bounds: a request's head has so many bytes and lines, its body so many bytes, and
    a client whose server does not keep up is read no further.
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._head: bytes | None = b""

    def run(self) -> None:
        """Until one side ends it. The plugin's coroutines never wait, so they need no event loop."""
        try:
            self.initialize()
            while self._step():
                pass
        except OSError:
            return
        finally:
            self.shutdown()

    def handle_data(self, data: memoryview | None) -> bool | None:
        if data is None or self._head is None:
            too_large = not self.request.is_complete and self.request.total_size > _BODY_BYTES
            if too_large:
                return self._refuse(413, b"Content Too Large")
            return super().handle_data(cast("memoryview", data))
        self._head += bytes(data)
        end = self._head.find(_END_OF_HEAD, 0, _HEAD_BYTES)
        if end < 0:
            return self._refuse(431, b"Head Too Large") if len(self._head) >= _HEAD_BYTES else False
        end += len(_END_OF_HEAD)
        head, rest, self._head = self._head[:end], self._head[end:], None
        if head.count(b"\r\n") > _HEAD_LINES:
            return self._refuse(431, b"Too Many Header Lines")
        return super().handle_data(memoryview(head)) or (bool(rest) and super().handle_data(memoryview(rest)))

    async def get_events(self) -> dict[int, int]:
        events = await super().get_events()
        congested = isinstance(self.plugin, EgressPlugin) and self.plugin.is_congested
        if congested or self.reads_teared:
            number = self.work.connection.fileno()
            kept = events.get(number, 0) & ~selectors.EVENT_READ
            if kept:
                events[number] = kept
            else:
                events.pop(number, None)
        return events

    def _step(self) -> bool:
        """False when the connection is over, also for want of anything happening."""
        waiting = _result(self.get_events())
        poll = select.poll()
        for number, events in waiting.items():
            poll.register(number, _poll_events(events))
        ready = poll.poll(self.flags.timeout * 1000)
        if not ready:
            return False
        readable = [
            number
            for number, found in ready
            if waiting[number] & selectors.EVENT_READ and found & (select.POLLIN | _BROKEN)
        ]
        writable = [number for number, found in ready if found & (select.POLLOUT | _BROKEN)]
        return not _result(self.handle_events(readable, writable))

    def _refuse(self, status: int, reason: bytes) -> bool:
        self.work.queue(memoryview(build_http_response(status, reason=reason, conn_close=True)))
        return True


def _poll_events(events: int) -> int:
    read = select.POLLIN if events & selectors.EVENT_READ else 0
    return read | (select.POLLOUT if events & selectors.EVENT_WRITE else 0)


def _result(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine that never waits returns."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    raise RuntimeError("a plugin of the proxy waits")
