"""An MCP server's stdin and stdout as the event loop's own pipes.

The SDK reads and writes them in threads: three hand-overs for each call, which is a good part of what a small
one costs, and a thread that waits for input cannot be stopped. Where both are pipes or sockets, as an MCP
client makes them, none of that is needed; anything else (a terminal, a file) is left to the SDK.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, cast

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.stdio import stdio_server

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_READ_BYTES: Final = 1 << 16


async def run_over_stdio(server: MCPServer[Any]) -> None:
    """Serve one client until its stdin ends."""
    # The SDK has no public way to serve on streams of one's own.
    lowlevel = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]
    async with open_stdio() as (reading, writing):
        await lowlevel.run(reading, writing, lowlevel.create_initialization_options())


@asynccontextmanager
async def open_stdio() -> AsyncGenerator[Any]:
    """The streams of messages that `mcp.server.stdio.stdio_server` gives, over the same descriptors.

    Meanwhile descriptor 0 is the null device and 1 is stderr, as there: nothing that a handler or a child
    prints gets between the messages.
    """
    if not (_is_pipe(_STDIN) and _is_pipe(_STDOUT)):
        async with stdio_server() as streams:
            yield streams
        return
    with _claimed() as (read_descriptor, write_descriptor):
        lines = await _Lines.open(read_descriptor)
        output = await _Output.open(write_descriptor)
        try:
            async with stdio_server(
                cast("anyio.AsyncFile[str]", lines), cast("anyio.AsyncFile[str]", output)
            ) as streams:
                yield streams
        finally:
            lines.close()
            output.close()


def _is_pipe(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


@contextmanager
def _claimed() -> Generator[tuple[int, int]]:
    """Copies of stdin and stdout, with the descriptors themselves led elsewhere until the end."""
    kept = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 3) for each in (_STDIN, _STDOUT)]
    blocking = [os.get_blocking(each) for each in kept]
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.dup2(nothing, _STDIN)
        os.dup2(_STDERR, _STDOUT)
        read, write = (fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 3) for each in kept)
        yield read, write
    finally:
        for descriptor, copy, was_blocking in zip((_STDIN, _STDOUT), kept, blocking, strict=True):
            os.set_blocking(copy, was_blocking)
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(nothing)


class _Lines:
    """What the SDK iterates over: one line of text for each message."""

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self._reader = reader
        self._transport = transport

    @classmethod
    async def open(cls, descriptor: int) -> _Lines:
        """Takes the descriptor, and closes it in the end."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
        )
        return cls(reader, transport)

    async def __aiter__(self) -> AsyncIterator[str]:
        begun: list[bytes] = []
        while data := await self._reader.read(_READ_BYTES):
            first, *others = data.split(b"\n")
            begun.append(first)
            for each in others:
                yield b"".join(begun).decode("utf-8", "replace")
                begun = [each]
        if rest := b"".join(begun):
            yield rest.decode("utf-8", "replace")

    def close(self) -> None:
        self._transport.close()


class _Output:
    """What the SDK writes messages to; `flush` returns when all of it has left this process."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    @classmethod
    async def open(cls, descriptor: int) -> _Output:
        """Takes the descriptor, and closes it in the end."""
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(descriptor, "wb", buffering=0)
        )
        transport.set_write_buffer_limits(high=0)
        return cls(asyncio.StreamWriter(transport, protocol, None, loop))

    async def write(self, text: str) -> None:
        self._writer.write(text.encode())

    async def flush(self) -> None:
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()
