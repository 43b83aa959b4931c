"""Spans of admissions and runs, in the trace of the call that caused them.

The MCP SDK takes the W3C trace context out of a call's `_meta` (`traceparent`), the HTTP door out of the
headers; spans made here are below that. What joins them to the approval is `hitl.request_id`, the token's
`txn`, with a link to the approval server's span of the request, whose ids both servers compute from it. The
run of a call that named no trace is a part of the request's. No span carries a token, a program,
its input or output, or an execution id, which is a right.

Without a provider nothing is recorded; the caller's trace id is known all the same and goes into the audit
log.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanKind, StatusCode, TracerProvider

from executor_mcp.errors import Refused
from executor_mcp.models import Execution, ExecutionStatus
from executor_mcp.package_version import package_version
from server_kit.tracing import current_trace_id, request_context

_NAME: Final = "hitl-executor"
_BAD: Final = frozenset({ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT, ExecutionStatus.INTERRUPTED})


class Tracing:
    """Makes the executor's own spans."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer(_NAME, package_version(), tracer_provider=provider)

    @contextmanager
    def admission(self) -> Generator[None]:
        """The gate's work on one call; a refusal is written on the span by its reason."""
        with self._tracer.start_as_current_span(
            "execution.admit", record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except Refused as refusal:
                span.set_attribute("hitl.refusal", refusal.reason.value)
                span.set_attribute("hitl.gate_step", refusal.step)
                span.set_status(StatusCode.ERROR, refusal.reason.value)
                raise

    @contextmanager
    def run(self, execution: Execution) -> Generator[RunSpan]:
        """A program's run, to its recorded end."""
        request = request_context(execution.request_id)
        alone = current_trace_id() is None
        with self._tracer.start_as_current_span(
            "execution.run",
            context=trace.set_span_in_context(NonRecordingSpan(request), Context()) if alone else None,
            kind=SpanKind.INTERNAL,
            links=[Link(request)],
            attributes={
                "hitl.request_id": execution.request_id,
                "hitl.action_digest": execution.action_digest,
                "hitl.language": execution.language,
                "hitl.sandbox": execution.sandbox.backend,
            },
            record_exception=False,
        ) as span:
            yield RunSpan(span)


class RunSpan:
    """The span of one run."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def ended(self, execution: Execution) -> None:
        """Writes how it ended and what it cost."""
        span, outcome = self._span, execution.outcome
        span.set_attribute("hitl.status", execution.status.value)
        if execution.status in _BAD:
            span.set_status(StatusCode.ERROR, execution.status.value)
        if outcome is None:
            return
        span.set_attribute("hitl.ended_by", outcome.ended_by)
        if outcome.exit_code is not None:
            span.set_attribute("process.exit.code", outcome.exit_code)
        if outcome.usage is not None:
            for name in ("cpu_seconds", "peak_memory_bytes", "output_bytes"):
                value: float | None = getattr(outcome.usage, name)
                if value is not None:
                    span.set_attribute(f"hitl.{name}", value)
