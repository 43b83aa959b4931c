"""What leaves with spans: our own as they are, the MCP SDK's without what a caller wrote, and no others.

The SDK puts names and ids that a caller chose and texts of errors into its spans, and other libraries whole
URLs; an id in them may be a right, and a text anything.

Imports OpenTelemetry's SDK, an optional extra; `trace_export` alone imports this.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status, StatusCode

OWN: Final = frozenset({"hitl-mcp", "hitl-executor"})
_SDK: Final = "mcp-python-sdk"
_KEPT: Final = ("mcp.method.name", "mcp.protocol.version", "gen_ai.tool.name", "error.type")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./-]{1,48}")


class ScrubbingExporter(SpanExporter):
    """Hands on what may leave. The name of a tool whose call failed may be nothing but a caller's word."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        kept = [scrubbed for span in spans if (scrubbed := self._scrubbed(span)) is not None]
        return self._inner.export(kept) if kept else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)

    def _scrubbed(self, span: ReadableSpan) -> ReadableSpan | None:
        scope = None if span.instrumentation_scope is None else span.instrumentation_scope.name
        if scope in OWN:
            return span
        if scope != _SDK:
            return None
        attributes = {
            name: value
            for name in _KEPT
            if isinstance(value := (span.attributes or {}).get(name), str) and _PLAIN.fullmatch(value)
        }
        if span.status.status_code is StatusCode.ERROR:
            attributes.pop("gen_ai.tool.name", None)
        return ReadableSpan(
            name=" ".join(
                attributes[name] for name in ("mcp.method.name", "gen_ai.tool.name") if name in attributes
            ),
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=attributes,
            links=span.links,
            kind=span.kind,
            status=Status(span.status.status_code),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )
