"""One agent's requests of the stateless protocol era, carried over one relay.

Each HTTP request stands for itself, and clients of one agent use the same ids. Here every request gets an id
and a progress token of its own, and what comes back gets the client's again.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, cast

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client._transport import TransportStreams
from mcp.shared.message import SessionMessage
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import (
    METHOD_NOT_FOUND,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)

# What a client does not take in time is dropped, but for the answer.
_NOTIFICATIONS_KEPT: Final = 256
_TOKEN: Final = "progressToken"  # noqa: S105 - the name of a field


@dataclass
class Asked:
    """A request on its way. `heard` ends when `answer` is there, or when none will come."""

    request: JSONRPCRequest
    heard: MemoryObjectReceiveStream[JSONRPCNotification]
    hearing: MemoryObjectSendStream[JSONRPCNotification]
    answer: JSONRPCResponse | JSONRPCError | None = None


class Exchange:
    """`front` is the client's end for a relay; `run` has to run as long as that does."""

    def __init__(self) -> None:
        self._to_relay, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write, self._from_relay = anyio.create_memory_object_stream[SessionMessage](0)
        self.front: TransportStreams = (read, write)
        self._streams = (self._to_relay, read, write, self._from_relay)
        self._asked: dict[str, Asked] = {}

    @property
    def busy(self) -> bool:
        return bool(self._asked)

    async def run(self) -> None:
        """Hand on what the relay says until it is closed."""
        async for item in self._from_relay:
            await self._take(item.message)

    async def close(self) -> None:
        """End the relay, and every request that is still open."""
        for stream in self._streams:
            await stream.aclose()
        for asked in self._asked.values():
            asked.hearing.close()

    @asynccontextmanager
    async def ask(self, request: JSONRPCRequest) -> AsyncGenerator[Asked]:
        """Send a request; leaving before its answer came cancels it.

        Raises anyio.ClosedResourceError or BrokenResourceError when the relay is gone.
        """
        own = f"http-{secrets.token_hex(12)}"
        hearing, heard = anyio.create_memory_object_stream[JSONRPCNotification](_NOTIFICATIONS_KEPT)
        asked = Asked(request, heard, hearing)
        self._asked[own] = asked
        try:
            await self._to_relay.send(SessionMessage(_renamed(request, own)))
            yield asked
        finally:
            del self._asked[own]
            hearing.close()
            heard.close()
            if asked.answer is None:
                params = {"requestId": own, "reason": "the client closed its request"}
                cancelled = JSONRPCNotification(
                    jsonrpc="2.0", method="notifications/cancelled", params=params
                )
                with (
                    suppress(anyio.ClosedResourceError, anyio.BrokenResourceError),
                    anyio.CancelScope(shield=True),
                ):
                    await self._to_relay.send(SessionMessage(cancelled))

    async def _take(self, message: JSONRPCMessage) -> None:
        match message:
            case JSONRPCNotification() as notification:
                self._notify(notification)
            case JSONRPCRequest() as request:
                # A server of this era cannot ask a client anything.
                error = ErrorData(code=METHOD_NOT_FOUND, message="The client cannot be asked here.")
                refusal = JSONRPCError(jsonrpc="2.0", id=request.id, error=error)
                await self._to_relay.send(SessionMessage(refusal))
            case answer:
                asked = self._asked.get(str(answer.id))
                if asked is not None:
                    asked.answer = _answer_to(asked.request, answer)
                    asked.hearing.close()

    def _notify(self, notification: JSONRPCNotification) -> None:
        params = dict(notification.params or {})
        token = params.get(_TOKEN)
        meta = params.get("_meta")
        subscription = (
            cast("dict[str, Any]", meta).get(SUBSCRIPTION_ID_META_KEY) if isinstance(meta, dict) else None
        )
        asked = self._asked.get(str(token if token is not None else subscription))
        if asked is None and len(self._asked) == 1 and token is None and subscription is None:
            # It can only be about the one request there is.
            [asked] = self._asked.values()
        if asked is None:
            return
        if token is not None:
            params[_TOKEN] = _meta(asked.request).get(_TOKEN)
        if subscription is not None:
            params["_meta"] = {**cast("dict[str, Any]", meta), SUBSCRIPTION_ID_META_KEY: asked.request.id}
        with suppress(anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
            asked.hearing.send_nowait(notification.model_copy(update={"params": params}))


def _meta(request: JSONRPCRequest) -> dict[str, Any]:
    meta = (request.params or {}).get("_meta")
    return cast("dict[str, Any]", meta) if isinstance(meta, dict) else {}


def _renamed(request: JSONRPCRequest, own: str) -> JSONRPCRequest:
    meta = _meta(request)
    if _TOKEN not in meta:
        return request.model_copy(update={"id": own})
    params = {**(request.params or {}), "_meta": {**meta, _TOKEN: own}}
    return request.model_copy(update={"id": own, "params": params})


def _answer_to(
    request: JSONRPCRequest, answer: JSONRPCResponse | JSONRPCError
) -> JSONRPCResponse | JSONRPCError:
    if isinstance(answer, JSONRPCError):
        return answer.model_copy(update={"id": request.id})
    result = answer.result
    meta = result.get("_meta")
    if isinstance(meta, dict) and SUBSCRIPTION_ID_META_KEY in meta:
        result = {**result, "_meta": {**cast("dict[str, Any]", meta), SUBSCRIPTION_ID_META_KEY: request.id}}
    return answer.model_copy(update={"id": request.id, "result": result})
