"""A proxy on a unix socket before the container engine that can be cut, stalled, slowed and restored."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

ENGINE = Path("/var/run/docker.sock")


class EngineProxy:
    """What an executor sees of an engine that is stopped, hangs or is slow, while others go on using it."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.delay_seconds = 0.0
        self.connections = 0
        self.unanswered: bytes | None = None
        """Requests with this in them reach the engine, and nothing that it answers there comes back."""
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def address(self) -> str:
        return f"unix://{self.socket}"

    async def restore(self) -> None:
        """Answer again, as an engine that was started does."""
        self._flowing.set()
        self.delay_seconds = 0.0
        self.unanswered = None
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._serve, self.socket)

    async def cut(self) -> None:
        """End every connection and refuse new ones, as an engine that was stopped does."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self.socket.unlink(missing_ok=True)
        for pipe in tuple(self._pipes):
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def stall(self) -> None:
        """Take connections and pass nothing on, as an engine that hangs does."""
        self._flowing.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        self.connections += 1
        try:
            with suppress(OSError, asyncio.CancelledError):
                engine_reader, engine_writer = await asyncio.open_unix_connection(ENGINE)
                try:
                    lost = asyncio.Event()
                    await asyncio.gather(
                        self._pass(reader, engine_writer, lost, asks=True),
                        self._pass(engine_reader, writer, lost, asks=False),
                    )
                finally:
                    engine_writer.transport.abort()
        finally:
            writer.transport.abort()
            self._pipes.discard(task)

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, lost: asyncio.Event, *, asks: bool
    ) -> None:
        while data := await source.read(65536):
            await self._flowing.wait()
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            if asks and self.unanswered is not None and self.unanswered in data:
                lost.set()
            if not asks and lost.is_set():
                continue
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()
