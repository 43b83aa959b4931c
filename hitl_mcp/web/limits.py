"""Refuses bodies that are too large before anything is parsed."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hitl_mcp.web.authentication import Access, access_of
from hitl_mcp.web.problems import problem

OPEN_LIMIT: Final = 64 * 1024
_EXECUTE_PATH: Final = "/execute"
# A client that is still sending sees the answer only when its body is taken off the wire; for long it is not.
_DISCARDED_FOR_EACH_BYTE_TAKEN: Final = 4


class BodyLimit:
    """ASGI middleware: a body above the limit is answered with 413 and never kept.

    It is inside authentication: who has shown a credential may send up to `limit` bytes, others 64 KiB.
    """

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self._app(scope, receive, send)
            return
        limit = self._limit_of(scope)
        declared = Headers(scope=scope).get("content-length", "0")
        if not (declared.isascii() and declared.isdigit()):
            answer = problem(400, "bad_content_length", "Content-Length must be a number of bytes.")
            await answer(scope, receive, send)
            return
        body = None if int(declared[:20]) > limit else await _read(receive, limit)
        if body is not None:
            await self._app(scope, _replay(body, receive), send)
            return
        await _discard(receive, limit * _DISCARDED_FOR_EACH_BYTE_TAKEN)
        detail = f"The body is larger than {limit} bytes, which is the most this server takes here."
        await problem(413, "body_too_large", detail, headers={"Connection": "close"})(scope, receive, send)

    def _limit_of(self, scope: Scope) -> int:
        is_open = access_of(scope["method"], scope["path"]) is Access.OPEN and scope["path"] != _EXECUTE_PATH
        return min(OPEN_LIMIT, self._limit) if is_open else self._limit


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The whole body; None once it is larger than `limit`."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body", False):
            return bytes(body)


async def _discard(receive: Receive, limit: int) -> None:
    """Take the rest of a body off the wire, up to `limit` bytes."""
    seen = 0
    while seen <= limit:
        message = await receive()
        seen += len(message.get("body", b""))
        if not message.get("more_body", False):
            return


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replayed() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
