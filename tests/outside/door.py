"""A reverse proxy that adds a credential, for outside tools that cannot send one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "content-encoding", "keep-alive"}


@asynccontextmanager
async def door_to(url: str, *, add: Mapping[str, str]) -> AsyncIterator[str]:
    """The address of a proxy in front of ``url`` that puts ``add`` into every request.

    Host and Origin pass as they were sent, but for the proxy's port, which becomes the server's.
    """
    target = aiohttp.client.URL(url)

    async def forward(request: web.Request) -> web.StreamResponse:
        own = f":{request.transport.get_extra_info('sockname')[1]}" if request.transport else ""
        headers = {
            name: value.replace(own, f":{target.port}") if name.lower() in {"host", "origin"} else value
            for name, value in request.headers.items()
            if name.lower() not in _HOP_BY_HOP
        }
        body = await request.read()
        async with session.request(
            request.method,
            target.with_path(request.path),
            headers={**{name: value for name, value in headers.items() if name.title() not in add}, **add},
            data=body or None,
            allow_redirects=False,
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            # A client that has read enough hangs up; that is no error of the proxy's.
            with contextlib.suppress(ConnectionError):
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            await runner.cleanup()
