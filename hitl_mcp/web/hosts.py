"""Answers only for names that are this server's, and only to pages that are: against DNS rebinding.

A page of another site can make a browser send requests here under that site's name once its DNS says so. The
Host header then names that site, which is refused; a request that the page sends openly names it in Origin.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from hitl_mcp.web.problems import problem

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
# Probes of an orchestrator call by address, and learn nothing there.
_UNGUARDED_PATHS: Final = frozenset({"/health", "/ready"})
_ADVICE: Final = (
    "Set HITL_HTTP__PUBLIC_URL to the URL it is reached at, or add the name to HITL_HTTP__ALLOWED_HOSTS."
)


class HostGuard:
    """ASGI middleware. Loopback names are allowed with any port, others as they are configured."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        public_url: str,
        hosts: Iterable[str] = (),
        origins: Collection[str] = (),
        advice: str = _ADVICE,
    ) -> None:
        self._app = app
        self._advice = advice
        parts = urlsplit(public_url)
        self._hosts = frozenset({parts.netloc.lower(), *(host.lower() for host in hosts)})
        self._origins = frozenset({f"{parts.scheme}://{parts.netloc}".lower(), *(o.lower() for o in origins)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"} or scope["path"] in _UNGUARDED_PATHS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if len(headers.getlist("host")) != 1 or not self._is_ours(host):
            refusal = problem(
                421,
                "unknown_host",
                f"This server does not answer for that host name. {self._advice}",
            )
        elif not self._may_come_from(headers.getlist("origin"), host):
            refusal = problem(403, "foreign_origin", "Pages of another site may not use this server.")
        else:
            await self._app(scope, receive, send)
            return
        await refusal(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        name, separator, port = host.rpartition(":")
        if not separator or not port.isdigit():
            name = host
        return host in self._hosts or name in LOOPBACK_NAMES

    def _may_come_from(self, origins: list[str], host: str) -> bool:
        own = {f"http://{host}", f"https://{host}"}
        return all(origin.lower() in own or origin.lower() in self._origins for origin in origins)
