"""A real HTTP server that speaks the OpenAI-compatible API, and misbehaves as a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.emulators.serving import Emulator

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def completion(content: object) -> web.Response:
    """An answer as such endpoints give it, with more fields than anybody reads."""
    return web.json_response(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "judge",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
        }
    )


def verdict(level: str, reason: str = "it deletes files") -> web.Response:
    return completion(json.dumps({"level": level, "reason": reason}))


class ModelEndpoint(Emulator):
    """`POST /v1/chat/completions`; `answer` makes each answer, `asked` holds what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.elsewhere = 0
        self.released = asyncio.Event()
        self.answer: Handler = self._low

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", self._complete)
        application.router.add_route("*", "/elsewhere", self._elsewhere)
        return application

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.authorizations.append(request.headers.get("authorization"))
        return await self.answer(request)

    async def _elsewhere(self, request: web.Request) -> web.StreamResponse:
        self.elsewhere += 1
        return verdict("low")

    async def _low(self, request: web.Request) -> web.StreamResponse:
        return verdict("low", "it only computes")
