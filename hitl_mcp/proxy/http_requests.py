"""One HTTP request of the stateless protocol era: read, checked, carried over an exchange, answered.

The answer is JSON when it comes soon and nothing was said before it, else a stream of events, which a ping
keeps open. A client that closes its request cancels it. The checks, in order:

1. the method is POST, and the client takes both forms of an answer;
2. the body is one JSON-RPC message; a notification is acknowledged and goes no further;
3. no routing header occurs twice, and all say what the body says.
"""

from __future__ import annotations

import json
from typing import Final

import anyio
from mcp.server.streamable_http import check_accept_headers
from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    InboundLadderRejection,
    classify_inbound_request,
    find_duplicated_routing_header,
)
from mcp_types import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hitl_mcp.proxy.exchange import Asked, Exchange

PING_SECONDS: Final = 15.0
_EVENTS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
]
_Answer = JSONRPCResponse | JSONRPCError


async def read_request(scope: Scope, receive: Receive) -> JSONRPCRequest | Response:
    """The JSON-RPC request of an HTTP request, or what to answer instead."""
    request = Request(scope, receive)
    if request.method != "POST":  # 1
        return Response(status_code=405, headers={"Allow": "POST"})
    if not all(check_accept_headers(request)):
        return Response(status_code=406)
    try:
        body: object = json.loads(await request.body())
    except (ValueError, RecursionError):  # 2
        return refusal(PARSE_ERROR, "The body is no JSON.")
    if not isinstance(body, dict):
        return refusal(INVALID_REQUEST, "The body is not one JSON-RPC message.")
    try:
        if "id" not in body:
            JSONRPCNotification.model_validate(body)
            return Response(status_code=202)
        message = JSONRPCRequest.model_validate(body)
    except ValidationError:
        return refusal(INVALID_REQUEST, "The body is not one JSON-RPC request or notification.")
    twice = find_duplicated_routing_header(request.headers.items())  # 3
    if twice is not None:
        return answer_of(_error(message, HEADER_MISMATCH, f"The header {twice} occurs twice."))
    route = classify_inbound_request(message.model_dump(by_alias=True), headers=dict(request.headers))
    if isinstance(route, InboundLadderRejection):
        error = ErrorData(code=route.code, message=route.message, data=route.data)
        return answer_of(JSONRPCError(jsonrpc="2.0", id=message.id, error=error))
    return message


async def carry(exchange: Exchange, message: JSONRPCRequest, receive: Receive, send: Send) -> None:
    """Send the request over the exchange, and answer the client."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        working.cancel_scope.cancel()

    async with anyio.create_task_group() as working:
        working.start_soon(watch)
        try:
            async with exchange.ask(message) as asked:
                await _answer(asked, message, send)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            await _send_whole(_gone(message), send)
        working.cancel_scope.cancel()


async def _answer(asked: Asked, message: JSONRPCRequest, send: Send) -> None:
    streaming = False
    while True:
        said: bytes = b": ping\r\n\r\n"
        with anyio.move_on_after(PING_SECONDS):
            try:
                said = _event(await asked.heard.receive())
            except anyio.EndOfStream:
                break
        if not streaming:
            await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
            streaming = True
        await send({"type": "http.response.body", "body": said, "more_body": True})
    answer = asked.answer or _gone(message)
    if streaming:
        await send({"type": "http.response.body", "body": _event(answer), "more_body": False})
    else:
        await _send_whole(answer, send)


async def _send_whole(answer: _Answer, send: Send) -> None:
    response = answer_of(answer)
    await send(
        {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
    )
    await send({"type": "http.response.body", "body": response.body})


def answer_of(answer: _Answer) -> Response:
    """A whole answer, with the HTTP status that its error has."""
    status = ERROR_CODE_HTTP_STATUS.get(answer.error.code, 200) if isinstance(answer, JSONRPCError) else 200
    content = answer.model_dump_json(by_alias=True, exclude_unset=True)
    return Response(content, status, media_type="application/json", headers={"Cache-Control": "no-store"})


def refusal(code: int, message: str, *, status: int | None = None) -> Response:
    """An error that belongs to no request."""
    error = JSONRPCError(jsonrpc="2.0", id=None, error=ErrorData(code=code, message=message))
    response = answer_of(error)
    response.status_code = status or response.status_code
    return response


def _gone(message: JSONRPCRequest) -> JSONRPCError:
    return _error(message, INTERNAL_ERROR, "The MCP server behind the proxy has ended. Ask again.")


def _error(message: JSONRPCRequest, code: int, text: str) -> JSONRPCError:
    return JSONRPCError(jsonrpc="2.0", id=message.id, error=ErrorData(code=code, message=text))


def _event(message: _Answer | JSONRPCNotification) -> bytes:
    data = message.model_dump_json(by_alias=True, exclude_unset=True)
    return f"event: message\r\ndata: {data}\r\n\r\n".encode()
