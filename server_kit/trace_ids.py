"""The ids of spans: random ones, and those that stand for an approval request.

Imports OpenTelemetry's SDK, an optional extra; `trace_export` alone imports this, where spans are exported.
"""

from __future__ import annotations

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from server_kit.tracing import chosen_context


class RequestIds(RandomIdGenerator):
    """Gives the ids that `tracing.identified_as` chose, and random ones otherwise."""

    def generate_trace_id(self) -> int:
        chosen = chosen_context()
        return super().generate_trace_id() if chosen is None else chosen.trace_id

    def generate_span_id(self) -> int:
        chosen = chosen_context()
        return super().generate_span_id() if chosen is None else chosen.span_id
