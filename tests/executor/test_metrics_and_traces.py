"""What an operator sees of executions: numbers with bounded labels, and spans in the caller's trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from executor_mcp.errors import Refused
from executor_mcp.settings import HttpSettings
from executor_mcp.start_record import SharedBounds
from executor_mcp.trace_export import open_tracing
from executor_mcp.tracing import Tracing
from executor_mcp.web.app import build_app
from server_kit.database.base import Database
from server_kit.tracing import request_context
from tests.conftest import ManualClock
from tests.executor.support import PROGRAM, Bench, bench, eventually, outcome
from tests.executor.test_waiting import working

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SECRET = {**PROGRAM, "code": "print('in confidence')", "input_data": {"key": "hunter2"}}


@dataclass(frozen=True)
class Sizes:
    """A pool as it is now."""

    ready: int = 3
    launching: int = 1
    taken: int = 2
    waiting_callers: int = 0
    served_warm: int = 9
    served_cold: int = 1


def samples(made: Bench) -> dict[str, float]:
    lines = made.executor.measurements.exposition().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


async def quiet(made: Bench) -> dict[str, float]:
    """Once nothing runs: an end can be read a moment before it is counted."""
    await eventually(lambda: samples(made)["hitl_executor_running"] == 0)
    return samples(made)


async def test_executions_refusals_waits_tokens_output_and_the_pool_are_counted(ready: Bench) -> None:
    await ready.run()
    ready.sandbox.outcome = outcome("timed_out", exit_code=None)
    await ready.run({**PROGRAM, "language": "bash", "code": "sleep 9"})
    with pytest.raises(Refused):
        await ready.executor.service.execute("x.y.z", None)
    ready.executor.measurements.watch_pool(type("Pooled", (), {"report": lambda self: Sizes()})())
    found = await quiet(ready)

    kinds = ("completed", "python"), ("timed_out", "bash")
    for status, language in kinds:
        labels = f'language="{language}",sandbox="docker",status="{status}"'
        assert found[f"hitl_executor_executions_total{{{labels}}}"] == 1
        assert found[f'hitl_executor_duration_seconds_count{{language="{language}",sandbox="docker"}}'] == 1
    assert found['hitl_executor_refusals_total{reason="invalid_token"}'] == 1
    assert found["hitl_executor_spent_tokens_total"] == 2
    assert found["hitl_executor_queue_seconds_count"] == 2
    assert found["hitl_executor_output_bytes_total"] == 6
    assert found["hitl_executor_running"] == 0
    assert found['hitl_executor_pool_containers{state="ready"}'] == 3
    assert found['hitl_executor_pool_served_total{start="warm"}'] == 9


async def test_time_in_the_queue_of_the_database_is_counted_too(store: Database, tmp_path: Path) -> None:
    clock = ManualClock()
    made = bench(store, tmp_path, clock=clock, places=1, bounds=SharedBounds(most_waiting=2))
    made.sandbox.hold = True
    ids = [
        await made.executor.service.execute(made.issuer.token(now=clock.now().timestamp()), None)
        for _ in range(2)
    ]
    clock.advance(40)
    async with working(made):
        for number in range(2):
            await eventually(lambda wanted=number: len(made.sandbox.runs) > wanted)
            made.sandbox.runs[number].end(outcome())
            await made.executor.service.get(ids[number], wait_seconds=20)
    found = samples(made)
    assert found["hitl_executor_queue_seconds_count"] == 2
    assert 40 <= found["hitl_executor_queue_seconds_sum"] < 45


async def test_no_label_is_an_agents_choice_and_no_number_of_them_grows(ready: Bench) -> None:
    await ready.run(subject="first", request_id="req_a")
    before = (await quiet(ready)).keys()
    for number in range(3):
        await ready.run(subject=f"agent {number}", request_id=f"req_{number}")
    assert (await quiet(ready)).keys() == before


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def traced(store: Database, home: Path, spans: InMemorySpanExporter) -> Bench:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return bench(store, home, tracing=Tracing(provider))


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    return next(span for span in spans.get_finished_spans() if span.name == name)


async def test_a_run_is_a_span_of_the_callers_trace_linked_to_the_request_and_free_of_secrets(
    store: Database, tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    made = traced(store, tmp_path, spans)
    app = build_app(made.executor, HttpSettings(), require_api_key=False)
    token = made.issuer.token(SECRET, request_id="req_77")
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1:3002"
    ) as client:
        body = {"capability_token": token, "action": SECRET}
        answer = (
            await client.post("/api/v1/execute", json=body, headers={"traceparent": TRACEPARENT})
        ).json()
    await made.executor.service.close()
    admitted, run = named(spans, "execution.admit"), named(spans, "execution.run")

    for span in (admitted, run):
        assert span.context is not None
        assert f"{span.context.trace_id:032x}" == TRACE
    assert run.attributes is not None
    assert run.attributes["hitl.request_id"] == "req_77"
    assert run.attributes["hitl.status"] == "completed"
    assert [link.context for link in run.links] == [request_context("req_77")]
    everything = " ".join(span.to_json() for span in spans.get_finished_spans())
    for secret in (token, answer["execution_id"], "in confidence", "hunter2", "42\\n"):
        assert secret not in everything
    started = next(e for e in await made.executor.ledger.audit.tail(10) if e.event == "execution.started")
    assert started.details["trace_id"] == TRACE


async def test_a_refusal_is_on_its_span_by_reason_and_without_an_exporter_the_trace_id_is_still_audited(
    store: Database, tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    made = traced(store, tmp_path / "a", spans)
    with pytest.raises(Refused):
        await made.executor.service.execute("x.y.z", None)
    refused = named(spans, "execution.admit")
    assert refused.attributes is not None
    assert (refused.attributes["hitl.refusal"], refused.attributes["hitl.gate_step"]) == ("invalid_token", 2)

    silent = bench(store, tmp_path / "b", issuer=made.issuer)
    token = attach(TraceContextTextMapPropagator().extract({"traceparent": TRACEPARENT}))
    try:
        await silent.run()
    finally:
        detach(token)
    await silent.run()
    started = [e for e in await silent.executor.ledger.audit.tail(20) if e.event == "execution.started"]
    assert [entry.details.get("trace_id") for entry in started] == [TRACE, None]


@dataclass
class Collector:
    """Takes spans over HTTP as a collector does."""

    requests: list[bytes] = field(default_factory=list[bytes])

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        self.requests.append(head + await reader.readexactly(int(length.split(b":")[1])))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


async def test_spans_are_sent_to_a_collector_where_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    set_globally: list[object] = []
    monkeypatch.setattr(trace, "set_tracer_provider", set_globally.append)
    collector = Collector()
    async with collector.listening() as url:
        async with open_tracing(url, token="for-the-collector", service_name="here") as tracing:
            with tracing.admission():
                pass
        assert len(set_globally) == 1
    (request,) = collector.requests
    assert request.startswith(b"POST /v1/traces ")
    assert b"bearer for-the-collector" in request.lower()
    assert b"execution.admit" in request
    assert b"here" in request
