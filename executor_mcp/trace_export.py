"""The executor's tracing, as its settings ask for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from executor_mcp.tracing import Tracing
from server_kit.trace_export import open_provider


@asynccontextmanager
async def open_tracing(
    endpoint: str | None, *, token: str | None, service_name: str
) -> AsyncGenerator[Tracing]:
    """Tracing that exports to `endpoint`, or records nothing without one. Raises ConfigurationError."""
    variable = "EXECUTOR_TRACING__ENDPOINT"
    async with open_provider(endpoint, token=token, service_name=service_name, variable=variable) as provider:
        yield Tracing(provider)
