"""Spans of a request's life: asked for, told to people, decided, and its token minted.

They make up one trace for each request, whichever processes and replicas work on it: `approval.request` has
ids that are computed from the request's id, and the others are below it. The executor computes the same ids,
and its runs link to them. The trace of the call that did something is linked both ways.

No span carries a token, an action, a justification, a reason, an answer, or who anybody is.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, NonRecordingSpan, Span, StatusCode, TracerProvider

from hitl_mcp.approvals.models import ApprovalRequest
from hitl_mcp.approvals.tracing import StepNotes
from server_kit.tracing import current_trace_id, identified_as, request_context

_NAME: Final = "hitl-mcp"
_REQUEST_ID: Final = re.compile(r"req_[a-z0-9]{1,64}")


class RequestSpans:
    """Implements `RequestTracing`."""

    def __init__(self, provider: TracerProvider | None) -> None:
        self._tracer = trace.get_tracer(_NAME, version("hitl-mcp"), tracer_provider=provider)

    def callers_trace(self) -> str | None:
        return current_trace_id()

    def requested(self, request: ApprovalRequest, *, began: int) -> None:
        place = request_context(request.request_id)
        with identified_as(place):
            span = self._tracer.start_span(
                "approval.request",
                context=Context(),
                links=_caller(),
                start_time=began,
                attributes={
                    "hitl.request_id": request.request_id,
                    "hitl.action_type": request.action.type,
                    "hitl.action_digest": request.action_digest,
                    "hitl.risk_level": request.risk_level.value,
                    "hitl.required_approvals": request.required_approvals,
                    "hitl.status": request.status.value,
                },
            )
        span.end()
        caller = trace.get_current_span()
        caller.add_link(place)
        caller.set_attribute("hitl.request_id", request.request_id)

    @contextmanager
    def step(self, name: str, request_id: str) -> Generator[StepNotes]:
        if _REQUEST_ID.fullmatch(request_id) is None:
            # Whatever that is, it is no request, and may be something that belongs into no trace.
            yield _Notes(INVALID_SPAN)
            return
        with self._tracer.start_as_current_span(
            name,
            context=trace.set_span_in_context(NonRecordingSpan(request_context(request_id)), Context()),
            links=_caller(),
            attributes={"hitl.request_id": request_id},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield _Notes(span)
            except Exception as error:
                # By its type alone: the text may quote what somebody wrote.
                span.set_attribute("hitl.refusal", type(error).__name__)
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise


class _Notes:
    def __init__(self, span: Span) -> None:
        self._span = span

    def note(self, name: str, value: str | int) -> None:
        self._span.set_attribute(f"hitl.{name}", value)


def _caller() -> list[Link]:
    context = trace.get_current_span().get_span_context()
    return [Link(context)] if context.is_valid else []
