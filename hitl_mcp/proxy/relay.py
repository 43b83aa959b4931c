"""Relays JSON-RPC messages between one client and one upstream server, and holds the calls of tools.

Whatever is read is passed on as it was understood here, never as the bytes that came: a message cannot mean
one thing to this proxy and another to the server. Methods that the protocol does not have are not passed on;
the server might call a tool by them.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import anyio
import structlog
from mcp.client._transport import TransportStreams
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types import (
    CONNECTION_CLOSED,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    PROTOCOL_VERSION_META_KEY,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)
from mcp_types.methods import SPEC_CLIENT_METHODS, SPEC_CLIENT_NOTIFICATION_METHODS

from hitl_mcp.gate.engine import ApprovalEngine
from hitl_mcp.gate.values import GateRequest
from hitl_mcp.proxy.calls import CallRefused, HeldCall
from hitl_mcp.proxy.definitions import Definitions
from hitl_mcp.proxy.gatekeeper import Admission, Gatekeeper, Refused
from hitl_mcp.proxy.headers import HeaderStamp
from hitl_mcp.proxy.patience import Patience

CALL: Final = "tools/call"
LIST: Final = "tools/list"
_METHODS: Final = SPEC_CLIENT_METHODS | {
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/cancel",
    "tasks/update",
}
_NOTIFICATIONS: Final = SPEC_CLIENT_NOTIFICATION_METHODS | {"notifications/tasks/status"}
_LISTING_SECONDS: Final = 30.0
_NO_TOKEN: Final = object()
Unanswered = Callable[[], Awaitable[None]]
_MOST_PAGES: Final = 100
_LONGEST_ARGUMENTS: Final = 4000
_SERVER_GONE: Final = "The MCP server behind the proxy has ended."
_MAYBE_DONE: Final = (
    f"{_SERVER_GONE} It had been given this call and did not answer: it may or may not have had its effect. "
    "Find out before you call again."
)

_NOT_GIVEN: Final = (
    f"{_SERVER_GONE} It had not been given this call. When it is back, call again: what people approve in "
    "the meantime counts."
)


@dataclass(frozen=True, slots=True)
class _Held:
    """A call that was not forwarded yet."""

    request: JSONRPCRequest
    task: asyncio.Task[None]


class Relay:
    """One session of one client. `run` returns when either side is gone; True when the client went first."""

    def __init__(
        self,
        client: TransportStreams,
        upstream: TransportStreams,
        gatekeeper: Gatekeeper,
        definitions: Definitions,
        engine: ApprovalEngine,
        patience: Patience,
    ) -> None:
        self._from_client, self._to_client = client
        self._from_upstream, self._to_upstream = upstream
        self._gatekeeper = gatekeeper
        self._definitions = definitions
        self._engine = engine
        self._patience = patience
        self._stamp = HeaderStamp(definitions)
        self._held: dict[str | int, _Held] = {}
        self._forwarded: dict[str | int, JSONRPCRequest] = {}
        self._admitted: dict[str | int, Admission] = {}
        self._own: dict[str | int, asyncio.Future[dict[str, Any]]] = {}
        self._unanswered: dict[str | int, Unanswered | None] = {}
        self._own_prefix = f"hitl-proxy-{secrets.token_hex(8)}-"
        self._listing = asyncio.Lock()

    async def run(self) -> bool:
        sides = {
            asyncio.create_task(self._relay_client(), name="client"),
            asyncio.create_task(self._relay_upstream(), name="upstream"),
        }
        try:
            done, _ = await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
            for side in done:
                side.result()
            client_left = any(side.get_name() == "client" for side in done)
            if not client_left:
                await self._report_loss()
            return client_left
        finally:
            remaining = [*sides, *(held.task for held in self._held.values())]
            for task in remaining:
                task.cancel()
            await asyncio.gather(*remaining, return_exceptions=True)
            for admission in self._admitted.values():
                self._gatekeeper.abandoned(admission)

    async def _relay_client(self) -> None:
        async for item in self._from_client:
            if isinstance(item, Exception):
                await self._answer(
                    JSONRPCError(
                        jsonrpc="2.0",
                        id=None,
                        error=ErrorData(code=PARSE_ERROR, message="This is no JSON-RPC message."),
                    )
                )
                continue
            match item.message:
                case JSONRPCRequest() as request:
                    if isinstance(item.metadata, ServerMessageMetadata):
                        self._unanswered[request.id] = item.metadata.on_request_unanswered
                    await self._take_request(request)
                case JSONRPCNotification() as notification:
                    await self._take_notification(notification)
                case response:
                    await self._send_upstream(response)

    async def _take_request(self, request: JSONRPCRequest) -> None:
        known = request.id in self._held or request.id in self._forwarded
        if known or str(request.id).startswith(self._own_prefix):
            await self._refuse(request, INVALID_REQUEST, "This id is in use by another request.")
        elif request.method not in _METHODS:
            await self._refuse(
                request, METHOD_NOT_FOUND, f"The proxy does not pass on the method {request.method[:100]!r}."
            )
        elif request.method == CALL:
            self._held[request.id] = _Held(request, asyncio.create_task(self._hold(request)))
        else:
            self._forwarded[request.id] = request
            await self._send_upstream(request)

    async def _take_notification(self, notification: JSONRPCNotification) -> None:
        if notification.method not in _NOTIFICATIONS:
            return
        if notification.method == "notifications/cancelled":
            request_id = (notification.params or {}).get("requestId")
            if isinstance(request_id, str | int):
                held = self._held.pop(request_id, None)
                known = held is not None or request_id in self._forwarded
                if held is not None:
                    # Not forwarded, so there is nothing that the server could cancel.
                    held.task.cancel()
                else:
                    self._forget(request_id)
                end = self._unanswered.pop(request_id, None)
                if known and end is not None:
                    # Where every request has a stream of its own, that ends without an answer too.
                    await end()
                if held is not None:
                    return
        await self._send_upstream(notification)

    async def _hold(self, request: JSONRPCRequest) -> None:
        """Ask about one call of a tool; forward it once, or answer that it was not called."""
        try:
            call = HeldCall.of(self._gatekeeper.server, request.params)
            await self._know_tools(call)
            admission = await self._gatekeeper.admit(call, lambda asked: self._wait(asked, call, request.id))
        except (Refused, CallRefused) as refused:
            await self._answer_held(request, str(refused))
        except Exception as error:
            structlog.get_logger(__name__).exception("holding_failed", error=type(error).__name__)
            await self._answer_held(request, "The tool was not called: the proxy failed. See its log.")
        else:
            # From here on it counts as the server's: without an await in between nobody can cancel it here.
            del self._held[request.id]
            self._admitted[request.id] = admission
            self._forwarded[request.id] = request
            await self._send_upstream(request.model_copy(update={"params": admission.params}))

    async def _answer_held(self, request: JSONRPCRequest, text: str) -> None:
        self._held.pop(request.id, None)
        await self._answer_text(request, text)

    async def _wait(self, asked: GateRequest, call: HeldCall, request_id: str | int) -> GateRequest:
        async def progress(token: str | int, value: float, message: str) -> None:
            params = {"progressToken": token, "progress": value, "message": message}
            said = JSONRPCNotification(jsonrpc="2.0", method="notifications/progress", params=params)
            await self._answer(said, request_id)

        return await self._patience.wait(self._engine, asked, call.progress_token, progress)

    async def _know_tools(self, call: HeldCall) -> None:
        async with self._listing:
            if not self._definitions.stale and self._definitions.get(call.tool) is not None:
                return
            meta = {name: value for name, value in call.meta.items() if name != "progressToken"}
            tools: list[object] = []
            cursor: str | None = None
            try:
                async with asyncio.timeout(_LISTING_SECONDS):
                    for _ in range(_MOST_PAGES):
                        page = await self._ask_upstream(LIST, meta, cursor)
                        tools += cast("list[object]", page.get("tools") or [])
                        cursor = page.get("nextCursor")
                        if not isinstance(cursor, str):
                            break
            except TimeoutError:
                raise Refused("The server does not list its tools in time. Nothing was called.") from None
            self._definitions.replace(tools)

    async def _ask_upstream(self, method: str, meta: Mapping[str, Any], cursor: str | None) -> dict[str, Any]:
        request_id = f"{self._own_prefix}{secrets.token_hex(4)}"
        params: dict[str, Any] = {"_meta": dict(meta)} if meta else {}
        if cursor is not None:
            params["cursor"] = cursor
        answer = asyncio.get_running_loop().create_future()
        self._own[request_id] = answer
        try:
            await self._send_upstream(
                JSONRPCRequest(jsonrpc="2.0", id=request_id, method=method, params=params)
            )
            return await answer
        finally:
            del self._own[request_id]

    async def _relay_upstream(self) -> None:
        async for item in self._from_upstream:
            if isinstance(item, Exception):
                structlog.get_logger(__name__).warning("upstream_garbage", error=type(item).__name__)
                continue
            message = item.message
            if isinstance(message, JSONRPCResponse | JSONRPCError):
                if message.id is None or self._take_own(message):
                    continue
                request = self._forwarded.get(message.id)
                if request is None:
                    # An answer to nothing that was asked here.
                    continue
                self._observe(request, message)
                message_id = message.id
                message = _told_of_edit(message, self._admitted.get(message_id))
                self._forget(message_id)
            elif isinstance(message, JSONRPCNotification) and message.method.endswith("tools/list_changed"):
                self._definitions.stale = True
            await self._answer(message, self._related(message))

    def _related(self, message: JSONRPCMessage) -> str | int | None:
        """The client's request that a message belongs to, for transports where each has its own stream."""
        match message:
            case JSONRPCResponse():
                return message.id
            case JSONRPCNotification(method="notifications/progress"):
                token = (message.params or {}).get("progressToken")
                return next((each.id for each in self._forwarded.values() if _token(each) == token), None)
            case JSONRPCRequest() if len(self._forwarded) == 1:
                return next(iter(self._forwarded))
            case _:
                return None

    def _take_own(self, message: JSONRPCResponse | JSONRPCError) -> bool:
        answer = self._own.get(message.id) if message.id is not None else None
        if answer is None:
            return False
        if not answer.done():
            answer.set_result(message.result if isinstance(message, JSONRPCResponse) else {})
        return True

    def _observe(self, request: JSONRPCRequest, answer: JSONRPCResponse | JSONRPCError) -> None:
        if isinstance(answer, JSONRPCError):
            return
        if request.method == LIST:
            self._definitions.observe(answer.result.get("tools"))
        elif request.method == "initialize":
            self._stamp.negotiated(answer.result.get("protocolVersion"))

    def _forget(self, request_id: str | int) -> None:
        self._forwarded.pop(request_id, None)
        admission = self._admitted.pop(request_id, None)
        if admission is not None:
            self._gatekeeper.answered(admission)

    async def _report_loss(self) -> None:
        """Tell the client about everything that the server took and will not answer."""
        for held in list(self._held.values()):
            held.task.cancel()
            await self._answer_held(held.request, _NOT_GIVEN)
        for request in list(self._forwarded.values()):
            if request.id in self._admitted:
                await self._answer_text(request, _MAYBE_DONE)
            else:
                await self._refuse(request, CONNECTION_CLOSED, _SERVER_GONE)
            self._forget(request.id)

    async def _refuse(self, request: JSONRPCRequest, code: int, message: str) -> None:
        error = ErrorData(code=code, message=message)
        await self._answer(JSONRPCError(jsonrpc="2.0", id=request.id, error=error))

    async def _answer_text(self, request: JSONRPCRequest, text: str) -> None:
        result: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": True}
        meta = (request.params or {}).get("_meta")
        if isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in meta:
            result["resultType"] = "complete"
        await self._answer(JSONRPCResponse(jsonrpc="2.0", id=request.id, result=result))

    async def _answer(self, message: JSONRPCMessage, related: str | int | None = None) -> None:
        if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
            self._unanswered.pop(message.id, None)
        await self._to_client.send(SessionMessage(message, ServerMessageMetadata(related_request_id=related)))

    async def _send_upstream(self, message: JSONRPCMessage) -> None:
        try:
            await self._to_upstream.send(SessionMessage(message, self._stamp.metadata(message)))
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            # The other loop sees that the server is gone, and tells the client.
            return


def _token(request: JSONRPCRequest) -> object:
    meta = (request.params or {}).get("_meta")
    # No token at all is not the same as any.
    return (
        cast("dict[str, Any]", meta).get("progressToken", _NO_TOKEN) if isinstance(meta, dict) else _NO_TOKEN
    )


def _told_of_edit(
    answer: JSONRPCResponse | JSONRPCError, admission: Admission | None
) -> JSONRPCResponse | JSONRPCError:
    """The answer to an edited call, saying that it was: else an agent reports its own call as made."""
    if admission is None or not admission.edited:
        return answer
    called = json.dumps(admission.params.get("arguments", {}), ensure_ascii=False)[:_LONGEST_ARGUMENTS]
    told = f"A person edited this call before they approved it. It was made with these arguments: {called}"
    if isinstance(answer, JSONRPCError):
        error = answer.error.model_copy(update={"message": f"{answer.error.message} ({told})"})
        return answer.model_copy(update={"error": error})
    content = answer.result.get("content")
    if not isinstance(content, list):
        return answer
    more = [*cast("list[object]", content), {"type": "text", "text": told}]
    return answer.model_copy(update={"result": {**answer.result, "content": more}})
