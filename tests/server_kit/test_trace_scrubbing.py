"""Spans of libraries lose what a caller or an error wrote into them before they are sent."""

from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from server_kit.trace_ids import RequestIds
from server_kit.trace_scrubbing import ScrubbingExporter
from server_kit.tracing import identified_as, request_context

SECRET = "exe_a2c4e6g8"


def test_of_the_sdks_spans_only_closed_words_leave_and_of_others_nothing() -> None:
    sent = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(ScrubbingExporter(sent)))
    own, sdk = provider.get_tracer("hitl-executor"), provider.get_tracer("mcp-python-sdk")
    with own.start_as_current_span("execution.run") as span:
        span.set_attribute("hitl.language", "python")
        with provider.get_tracer("fastapi").start_as_current_span(f"GET /executions/{SECRET}"):
            pass
        with sdk.start_as_current_span("tools/call execute") as good:
            good.set_attributes({"mcp.method.name": "tools/call", "gen_ai.tool.name": "execute"})
            good.set_attributes({"jsonrpc.request.id": SECRET, "error.type": f"a text with {SECRET}"})
        with sdk.start_as_current_span(f"tools/call {SECRET}") as bad:
            bad.set_attributes({"mcp.method.name": "tools/call", "gen_ai.tool.name": SECRET})
            bad.record_exception(ValueError(SECRET))
            bad.set_status(StatusCode.ERROR, f"{SECRET} has no file")
    assert SECRET not in "".join(each.to_json() for each in sent.get_finished_spans())
    assert {each.name for each in sent.get_finished_spans()} == {
        "execution.run",
        "tools/call execute",
        "tools/call",
    }
    failed = next(each for each in sent.get_finished_spans() if each.name == "tools/call")
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, None)
    assert failed.parent is not None


def test_a_span_that_stands_for_a_request_has_its_ids_and_the_next_has_random_ones() -> None:
    sent = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False, id_generator=RequestIds())
    provider.add_span_processor(SimpleSpanProcessor(sent))
    tracer, place = provider.get_tracer("hitl-mcp"), request_context("req_1")
    with identified_as(place):
        tracer.start_span("approval.request").end()
    tracer.start_span("another").end()
    first, second = (each.context for each in sent.get_finished_spans())
    assert first is not None
    assert second is not None
    assert (first.trace_id, first.span_id) == (place.trace_id, place.span_id)
    assert second.trace_id != place.trace_id
    assert second.span_id != place.span_id
    assert request_context("req_1") == place
    assert request_context("req_2").trace_id != place.trace_id
