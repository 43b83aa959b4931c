"""What the spans of both servers have in common: the place in a trace that stands for an approval request.

Both compute it from the request's id alone, so nothing has to be handed from one to the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import SpanContext, TraceFlags

_CHOSEN: Final[ContextVar[SpanContext | None]] = ContextVar("chosen_span_context", default=None)


def request_context(request_id: str) -> SpanContext:
    """The place in a trace that stands for an approval request, the same wherever it is computed: of the
    SHA-256 of `hitl request`, a zero byte and the id, 16 bytes of trace id and 8 of span id.
    """
    digest = hashlib.sha256(b"hitl request\0" + request_id.encode()).digest()
    return SpanContext(
        trace_id=int.from_bytes(digest[:16], "big") or 1,
        span_id=int.from_bytes(digest[16:24], "big") or 1,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def current_trace_id() -> str | None:
    """The trace that the caller named, as 32 hexadecimal digits; None where it named none."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


@contextmanager
def identified_as(context: SpanContext) -> Generator[None]:
    """A root span that is begun inside gets these ids, from a provider that `trace_export` has made."""
    token = _CHOSEN.set(context)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def chosen_context() -> SpanContext | None:
    """What `identified_as` was entered with."""
    return _CHOSEN.get()
