"""One trace from the question to the run, sent by both servers to a collector over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from mcp.shared.exceptions import MCPError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from server_kit.tracing import request_context
from tests.end_to_end.house import House, ToolRefused, open_house

pytestmark = pytest.mark.timeout(180)
TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
CALLER: Final = "b7ad6b7169203331"
SECRET: Final[dict[str, Any]] = {
    "type": "code_execution",
    "language": "python",
    "code": "print('in confidence')\ninput_data",
    "input_data": {"key": "hunter2"},
}


@dataclass(frozen=True)
class Sent:
    """A span as it arrived."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, str]


@dataclass
class Collector:
    """Takes spans over OTLP/HTTP."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list[bytes])
    heads: list[bytes] = field(default_factory=list[bytes])

    @property
    def spans(self) -> list[Sent]:
        found: list[Sent] = []
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {one.key: one.value.string_value for one in resource.resource.attributes}
                found += [
                    Sent(
                        service=names["service.name"],
                        name=span.name,
                        trace=span.trace_id.hex(),
                        id=span.span_id.hex(),
                        parent=span.parent_span_id.hex(),
                        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                        attributes={one.key: one.value.string_value for one in span.attributes},
                    )
                    for scope in resource.scope_spans
                    for span in scope.spans
                ]
        return found

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.lower().split(b"\r\n")
                length = next(line for line in lines if line.startswith(b"content-length"))
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(int(length.split(b":")[1])))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()


@asynccontextmanager
async def collecting() -> AsyncGenerator[Collector]:
    collector = Collector()
    server = await asyncio.start_server(collector.take, "127.0.0.1", 0)
    async with server:
        collector.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield collector


async def _story(house: House) -> tuple[str, str, str]:
    """Ask, approve, collect and run over REST; the request's id, the token, and the execution's id."""
    agent = {"Authorization": f"Bearer {house.api_key}"}
    body = {"action": SECRET, "justification": "because hunter2 said so"}
    async with httpx2.AsyncClient(headers=agent, timeout=50, trust_env=False) as http:
        named = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        asked = (await http.post(f"{house.approval_url}/api/v1/approvals", json=body, headers=named)).json()
        request_id = asked["request_id"]
        await house.decide(asked)
        found = (await http.get(f"{house.approval_url}/api/v1/approvals/{request_id}")).json()
        token = found["capability_token"]
    async with httpx2.AsyncClient(timeout=50, trust_env=False) as http:
        run = {"capability_token": token, "action": SECRET, "wait_seconds": 30}
        ran = (await http.post(f"{house.executor_url}/api/v1/execute", json=run)).json()
        assert ran["status"] == "completed", ran
        read = await http.get(f"{house.executor_url}/api/v1/executions/{ran['execution_id']}?secret=hunter2")
        assert read.status_code == 200
    async with house.agent() as asking, house.agent("executor") as running:
        with pytest.raises(ToolRefused):
            await asking.call("check_status", request_id="in-confidence")
        with pytest.raises(MCPError):
            await running.client.read_resource(f"execution://{ran['execution_id']}/files/hunter2")
    return request_id, token, ran["execution_id"]


async def test_a_request_is_one_trace_from_the_question_to_the_run_and_free_of_secrets(
    tmp_path: Path,
) -> None:
    async with collecting() as collector:
        settings = {
            "HITL_TRACING__ENDPOINT": collector.url,
            "HITL_TRACING__TOKEN": "for-the-collector",
            "EXECUTOR_TRACING__ENDPOINT": f"{collector.url}/v1/traces",
        }
        async with open_house(tmp_path, settings=settings) as house:
            request_id, token, execution_id = await _story(house)
        audited = await house.command("hitl", "audit", "search", "--event", "request.created", "--json")
    place = request_context(request_id)
    trace, root = f"{place.trace_id:032x}", f"{place.span_id:016x}"
    named = {span.name: span for span in collector.spans}

    asked = named["approval.request"]
    assert (asked.service, asked.trace, asked.id, asked.parent) == ("hitl-mcp", trace, root, "")
    assert asked.links == ((TRACE, CALLER),)
    assert asked.attributes["hitl.action_type"] == "code_execution"
    for name in ("approval.decide", "approval.mint", "execution.run"):
        assert (named[name].trace, named[name].parent) == (trace, root), name
        assert named[name].attributes["hitl.request_id"] == request_id
    assert named["approval.decide"].attributes["hitl.verdict"] == "approve"
    assert named["approval.decide"].attributes["hitl.status"] == "APPROVED"
    assert named["execution.run"].service == "hitl-executor"
    told = named["approval.notify"]
    assert (told.trace, told.parent, told.attributes["hitl.channel"]) == (trace, root, "console")
    assert {"tools/call", "resources/read"} <= named.keys()
    assert (trace, root) in named["execution.run"].links
    assert any(b"Bearer for-the-collector" in head for head in collector.heads)
    assert TRACE in json.dumps(audited)

    everything = b"".join(collector.bodies)
    secrets = (token, execution_id, house.api_key, "in confidence", "hunter2", "in-confidence", "ada")
    for secret in secrets:
        assert secret.encode() not in everything
