"""The caller's W3C trace context out of the headers of a request, and no spans of the framework's own."""

from __future__ import annotations

from typing import Final

from fastapi.telemetry import TelemetryConfig
from opentelemetry.context import attach, detach
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

NO_TELEMETRY: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""For `FastAPI(telemetry=…)`: what it would send of its own accord has paths, queries and bodies in it."""

_PREFIX: Final = "/api/"
_NAMES: Final = ("traceparent", "tracestate")


class TraceContextMiddleware:
    """For REST; MCP calls carry theirs in `_meta`, which the SDK reads."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not str(scope["path"]).startswith(_PREFIX):
            await self._application(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = {name: value for name in _NAMES if (value := headers.get(name)) is not None}
        token = attach(self._propagator.extract(given))
        try:
            await self._application(scope, receive, send)
        finally:
            detach(token)
