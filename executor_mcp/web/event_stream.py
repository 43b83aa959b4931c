"""An execution's events over HTTP: server-sent events, and the same documents over WebSocket.

1. A reader holds a position and pulls; what it does not take is not kept for it.
2. One that takes nothing for 30 seconds is cut off, and goes on later from the last id it has.
3. Readers are counted: so many for one execution, so many in all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from executor_mcp.errors import ExecutorError, TooManyReaders
from executor_mcp.execution_feed import EndEvent, IdleEvent, Readers, follow
from executor_mcp.interface.events import event_documents, event_identifier, read_identifier
from executor_mcp.live_output import Position
from executor_mcp.service import ExecutionService

STALLED_SECONDS: Final = 30.0
TASK_NAME: Final = "event stream"
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}
_NOT_FOUND: Final = 4404
_TOO_MANY: Final = 4429
_BAD_MESSAGE: Final = 4400
_CANCEL: Final = "cancel"
_LONGEST_REASON: Final = 120


class EventStream(Response):
    """Server-sent events until the execution's end, the reader's leave, or its standing still."""

    media_type = "text/event-stream"

    def __init__(
        self, service: ExecutionService, readers: Readers, execution_id: str, position: Position
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._service = service
        self._readers = readers
        self._execution_id = execution_id
        self._position = position

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        with self._readers.one_more(self._execution_id):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            streaming = asyncio.create_task(self._stream(send), name=TASK_NAME)
            leaving = asyncio.create_task(_until_gone(receive))
            try:
                await asyncio.wait({streaming, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                streaming.cancel()
                leaving.cancel()
                await asyncio.gather(streaming, leaving, return_exceptions=True)

    async def _stream(self, send: Send) -> None:
        async for block in _blocks(self._service, self._execution_id, self._position):
            async with asyncio.timeout(STALLED_SECONDS):
                await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _blocks(service: ExecutionService, execution_id: str, position: Position) -> AsyncGenerator[bytes]:
    async for event, behind in follow(service, execution_id, position):
        if isinstance(event, IdleEvent):
            yield b": idle\n\n"
            continue
        documents = event_documents(event)
        for number, (name, data) in enumerate(documents, 1):
            # Only behind the last piece has the reader all of the event.
            identifier = event_identifier(behind, ended=isinstance(event, EndEvent))
            line = f"id: {identifier}\n" if number == len(documents) else ""
            yield f"{line}event: {name}\ndata: {json.dumps(data)}\n\n".encode()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def serve_websocket(
    websocket: WebSocket, service: ExecutionService, readers: Readers, execution_id: str, after: str | None
) -> None:
    """The same events as `{"event", "id", "data"}`; a client may say `{"type": "cancel"}`."""
    await websocket.accept()
    try:
        position, _ = read_identifier(after)
        with readers.one_more(execution_id):
            # Before the first event: an unknown execution is said in the close frame.
            await service.get(execution_id)
            await _talk(websocket, service, execution_id, position)
    except ExecutorError as error:
        code = _TOO_MANY if isinstance(error, TooManyReaders) else _NOT_FOUND
        await _close(websocket, code, str(error))


async def _talk(
    websocket: WebSocket, service: ExecutionService, execution_id: str, position: Position
) -> None:
    sending = asyncio.create_task(_send_events(websocket, service, execution_id, position))
    hearing = asyncio.create_task(_hear(websocket, service, execution_id))
    try:
        done, _ = await asyncio.wait({sending, hearing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sending.cancel()
        hearing.cancel()
        await asyncio.gather(sending, hearing, return_exceptions=True)
    if hearing in done and hearing.exception() is None:
        await _close(websocket, _BAD_MESSAGE, 'only {"type": "cancel"} is understood')
    elif sending in done and sending.exception() is None:
        await _close(websocket, 1000, "ended")


async def _send_events(
    websocket: WebSocket, service: ExecutionService, execution_id: str, position: Position
) -> None:
    async for event, behind in follow(service, execution_id, position):
        documents = event_documents(event)
        for number, (name, data) in enumerate(documents, 1):
            message: dict[str, object] = {"event": name, "data": data}
            if number == len(documents):
                message["id"] = event_identifier(behind, ended=isinstance(event, EndEvent))
            async with asyncio.timeout(STALLED_SECONDS):
                await websocket.send_text(json.dumps(message))


async def _hear(websocket: WebSocket, service: ExecutionService, execution_id: str) -> None:
    """Returns at what is no message of ours; raises WebSocketDisconnect when the client has gone."""
    while True:
        try:
            message = await websocket.receive_json()
        except (ValueError, KeyError):
            return
        if message != {"type": _CANCEL}:
            return
        await service.cancel(execution_id)


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    with suppress(RuntimeError, WebSocketDisconnect):
        await websocket.close(code, reason.encode()[:_LONGEST_REASON].decode(errors="ignore"))
