"""A request's life as spans: one root however often it is asked for, and steps below it, without words."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hitl_mcp.approvals.errors import NotEligible, RequestNotFound
from hitl_mcp.approvals.models import Verdict
from hitl_mcp.tracing import RequestSpans
from server_kit.database.opening import open_database
from server_kit.trace_ids import RequestIds
from server_kit.tracing import current_trace_id, request_context
from tests.approvals.world import World, create_schema, submission, verdict
from tests.conftest import ManualClock

SECRETS = ("in confidence", "because I say so", "too risky", "mallory", "agent-7", "alice")


async def test_a_request_has_one_root_and_its_steps_tell_who_and_what_to_nobody(
    sqlite_url: str, clock: ManualClock, tmp_path: Path
) -> None:
    database = await open_database(sqlite_url)
    await create_schema(database)
    sent = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False, id_generator=RequestIds())
    provider.add_span_processor(SimpleSpanProcessor(sent))
    world = World(database, clock, tmp_path, tracing=RequestSpans(provider))
    asked = submission("print('in confidence')", justification="because I say so")
    with provider.get_tracer("agent").start_as_current_span("call") as call:
        record = await world.service.submit("agent-7", asked)
        again = await world.service.submit("agent-7", asked)
        trace_id = current_trace_id()
    request_id = record.request.request_id
    assert again.request.request_id == request_id
    assert record.request.trace_id == trace_id
    with pytest.raises(NotEligible):
        await world.service.decide(verdict(record, "mallory"))
    await world.service.decide(verdict(record, "alice", Verdict.DENY, reason="too risky"))
    for unknown in ("in confidence", "req_unknown"):
        with pytest.raises(RequestNotFound):
            await world.service.collect_token("agent-7", unknown)

    await database.close()
    spans: dict[str, list[ReadableSpan]] = {}
    for span in sent.get_finished_spans():
        spans.setdefault(span.name, []).append(span)
    (root,) = spans["approval.request"]
    place = request_context(request_id)
    assert root.context is not None
    assert (root.context.trace_id, root.context.span_id) == (place.trace_id, place.span_id)
    assert [link.context for link in root.links] == [call.get_span_context()]
    assert [link.context for link in spans["call"][0].links] == [place]
    for step in spans["approval.decide"]:
        assert step.parent is not None
        assert (step.parent.trace_id, step.parent.span_id) == (place.trace_id, place.span_id)
    refused, denied = (dict(step.attributes or {}) for step in spans["approval.decide"])
    assert refused["hitl.refusal"] == "NotEligible"
    assert (denied["hitl.verdict"], denied["hitl.status"]) == ("deny", "DENIED")
    (missing,) = spans["approval.mint"]
    assert dict(missing.attributes or {})["hitl.refusal"] == "RequestNotFound"
    everything = "".join(span.to_json() for span in sent.get_finished_spans())
    assert not [secret for secret in SECRETS if secret in everything]
