"""Sending spans to a collector, where one is set. Off by default."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from opentelemetry import trace

from executor_mcp.tracing import Tracing
from server_kit.errors import ConfigurationError

_PATH: Final = "/v1/traces"
_LONGEST_SECONDS: Final = 5


@asynccontextmanager
async def open_tracing(
    endpoint: str | None, *, token: str | None, service_name: str
) -> AsyncGenerator[Tracing]:
    """Tracing that exports over OTLP/HTTP to `endpoint`, or records nothing without one.

    Raises:
        ConfigurationError: an endpoint is set and what sends to it is not installed.
    """
    if endpoint is None:
        yield Tracing()
        return
    try:
        # Lazily: an optional extra, and a third of a second to import.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigurationError(
            "tracing.endpoint (EXECUTOR_TRACING__ENDPOINT) is set and what sends spans is not installed: "
            "pip install 'hitl-mcp[tracing]', or leave it out"
        ) from error
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    exporter = OTLPSpanExporter(
        endpoint=endpoint.removesuffix(_PATH) + _PATH, headers=headers, timeout=_LONGEST_SECONDS
    )
    provider = TracerProvider(
        resource=Resource.create({"service.name": service_name}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    # The MCP SDK's own spans go through the global provider, and there is one for each process.
    trace.set_tracer_provider(provider)
    try:
        yield Tracing(provider)
    finally:
        await asyncio.to_thread(provider.shutdown)
