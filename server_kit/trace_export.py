"""Sending spans to a collector, where one is set. Off by default."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import TracerProvider

from server_kit.errors import ConfigurationError

_PATH: Final = "/v1/traces"
_LONGEST_SECONDS: Final = 5


@asynccontextmanager
async def open_provider(
    endpoint: str | None, *, token: str | None, service_name: str, variable: str
) -> AsyncGenerator[TracerProvider | None]:
    """A provider whose spans go over OTLP/HTTP to `endpoint`; None without one. `variable` is the setting.

    Raises:
        ConfigurationError: an endpoint is set and what sends to it is not installed.
    """
    if endpoint is None:
        yield None
        return
    try:
        # Lazily: an optional extra, and a third of a second to import.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider as SendingProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from server_kit.trace_ids import RequestIds
        from server_kit.trace_scrubbing import ScrubbingExporter
    except ImportError as error:
        raise ConfigurationError(
            f"tracing.endpoint ({variable}) is set and what sends spans is not installed: "
            "pip install 'hitl-mcp[tracing]', or leave it out"
        ) from error
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    exporter = OTLPSpanExporter(
        endpoint=endpoint.removesuffix(_PATH) + _PATH, headers=headers, timeout=_LONGEST_SECONDS
    )
    provider = SendingProvider(
        resource=Resource.create({"service.name": service_name}),
        shutdown_on_exit=False,
        id_generator=RequestIds(),
    )
    provider.add_span_processor(BatchSpanProcessor(ScrubbingExporter(exporter)))
    # The MCP SDK's own spans go through the global provider, and there is one for each process.
    trace.set_tracer_provider(provider)
    try:
        yield provider
    finally:
        await asyncio.to_thread(provider.shutdown)
