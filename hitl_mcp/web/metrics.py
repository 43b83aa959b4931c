"""Counts and times what comes in over HTTP, for Prometheus. No label holds what a caller wrote."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 45, 60)


class Metrics:
    """The metrics of one application; nothing is global, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "hitl_http_requests", "HTTP requests", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "hitl_http_request_seconds",
            "Duration of HTTP requests, waiting included",
            ["route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "hitl_http_requests_in_flight", "HTTP requests being answered", registry=self.registry
        )

    def render(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def watch(self, app: ASGIApp) -> ASGIApp:
        """Wrap an application so that its requests are counted."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status, began = "499", time.perf_counter()

            async def noting(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = str(message["status"])
                await send(message)

            self._in_flight.inc()
            try:
                await app(scope, receive, noting)
            finally:
                self._in_flight.dec()
                route = _route_of(scope)
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._requests.labels(method, route, status).inc()
                self._seconds.labels(route).observe(time.perf_counter() - began)

        return watched


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_KNOWN_ROUTES = (
    "/mcp",
    "/api/v1/approvals",
    "/api/v1/actions",
    "/api/v1/audit",
    "/api/v1/session",
    "/execute",
)


def _route_of(scope: Scope) -> str:
    path: str = scope["path"]
    return next((route for route in _KNOWN_ROUTES if path == route or path.startswith(f"{route}/")), "other")
