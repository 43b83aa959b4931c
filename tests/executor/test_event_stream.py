"""Events over HTTP: server-sent events and WebSocket, with readers that come, go and stand still."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from executor_mcp.settings import HttpSettings
from executor_mcp.web import event_stream
from executor_mcp.web.app import build_app
from server_kit.database.base import Database
from server_kit.http_serving import Address, serve
from tests.executor.support import Bench, bench, eventually, outcome
from tests.executor.test_execution_feed import begin
from tests.executor.test_live_output import sample

MANY = 192


@dataclass
class Door:
    bench: Bench
    url: str
    client: httpx2.AsyncClient

    def websocket(self, path: str) -> str:
        return self.url.replace("http", "ws", 1) + path


@pytest_asyncio.fixture
async def door(store: Database, tmp_path: Path) -> AsyncIterator[Door]:
    async with _serving(store, tmp_path, require_api_key=False) as served:
        yield served


class _serving:  # noqa: N801 - reads as a function
    def __init__(self, store: Database, home: Path, *, require_api_key: bool) -> None:
        self._bench = bench(store, home)
        self._required = require_api_key
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Door:
        await self._bench.executor.recovery.begin()
        app = build_app(self._bench.executor, HttpSettings(), require_api_key=self._required)
        ready: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
        address = Address("127.0.0.1", 0)
        self._serving = asyncio.create_task(
            serve(app, address, ready=ready.set_result, stop=self._stop, websockets=True, graceful_seconds=1)
        )
        url = (await ready).url
        self._client = httpx2.AsyncClient(base_url=url, trust_env=False, timeout=20)
        return Door(self._bench, url, self._client)

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
        self._stop.set()
        await self._serving
        await self._bench.executor.service.close()
        await self._bench.executor.recovery.end()


def streams() -> int:
    return sum(task.get_name() == event_stream.TASK_NAME for task in asyncio.all_tasks())


async def code_of_the_end(websocket: ClientConnection) -> int | None:
    with suppress(ConnectionClosed):
        async for _ in websocket:
            continue
    return websocket.close_code


async def read_events(
    door: Door,
    execution_id: str,
    *,
    last: str | None = None,
    until: str = "end",
    opened: asyncio.Event | None = None,
) -> list[dict[str, Any]]:
    """Events up to the first one that is named `until`."""
    headers = {} if last is None else {"Last-Event-ID": last}
    events: list[dict[str, Any]] = [{}]
    url = f"/api/v1/executions/{execution_id}/events"
    async with door.client.stream("GET", url, headers=headers) as response:
        assert response.status_code == 200
        if opened is not None:
            opened.set()
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if name in ("id", "event"):
                events[-1][name] = value
            elif name == "data":
                events[-1]["data"] = json.loads(value)
            elif not line and events[-1]:
                if events[-1]["event"] == until:
                    return events
                events.append({})
    return [event for event in events if event]


async def test_events_come_while_it_runs_and_a_reader_that_was_cut_off_goes_on_where_it_was(
    door: Door,
) -> None:
    execution_id = await begin(door.bench)
    run = door.bench.sandbox.runs[0]
    run.sink.stdout("größe ".encode()[:3])
    run.sink.usage(sample(0.05))
    first = await read_events(door, execution_id, until="usage")
    assert [event["event"] for event in first] == ["status", "stdout", "stdout", "usage"]
    assert first[0]["data"]["execution_id"] == execution_id
    assert [event["data"] for event in first[1:3]] == [
        {"offset": 0, "text": "gr"},
        {"offset": 2, "base64": "ww=="},
    ]
    assert first[3]["data"]["memory_bytes"] == 1

    reading = asyncio.create_task(read_events(door, execution_id, last=first[-1]["id"]))
    run.sink.stdout("größe ".encode()[3:])
    run.end(outcome(stdout="größe ".encode()))
    rest = await reading
    # What is left begins within a character.
    output = next(event["data"] for event in rest if event["event"] == "stdout")
    assert (output["offset"], base64.b64decode(output["base64"])) == (3, "größe ".encode()[3:])
    end = rest[-1]
    assert (end["event"], end["data"]["status"], end["data"]["exit_code"]) == ("end", "completed", 0)
    assert "stdout" not in end["data"]
    assert end["data"]["resource_usage"]["peak_processes"] is None

    gone = await door.client.get(
        f"/api/v1/executions/{execution_id}/events", headers={"Last-Event-ID": end["id"]}
    )
    assert gone.status_code == 204


async def test_bad_ids_and_too_many_readers_get_a_problem_document(door: Door) -> None:
    execution_id = await begin(door.bench)
    unknown = await door.client.get("/api/v1/executions/exe_unknown/events")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "execution_not_found")
    bad = await door.client.get(
        f"/api/v1/executions/{execution_id}/events", headers={"Last-Event-ID": "yesterday"}
    )
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid_request")

    opened: list[asyncio.Event] = [asyncio.Event() for _ in range(16)]
    readers = [asyncio.create_task(read_events(door, execution_id, opened=each)) for each in opened]
    await asyncio.gather(*(each.wait() for each in opened))
    full = await door.client.get(f"/api/v1/executions/{execution_id}/events")
    assert (full.status_code, full.json()["code"]) == (503, "too_many_readers")
    async with connect(door.websocket(f"/api/v1/executions/{execution_id}/stream")) as websocket:
        assert await code_of_the_end(websocket) == 4429
    door.bench.sandbox.runs[0].end(outcome())
    assert {events[-1]["event"] for events in await asyncio.gather(*readers)} == {"end"}


async def test_a_reader_that_takes_nothing_holds_up_neither_the_program_nor_other_readers(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "STALLED_SECONDS", 1.0)
    execution_id = await begin(door.bench)
    run = door.bench.sandbox.runs[0]
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = door.url.removeprefix("http://").split(":")
    connection.connect((host, int(port)))
    connection.sendall(
        f"GET /api/v1/executions/{execution_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    )
    await eventually(lambda: streams() == 1)
    for _ in range(MANY):
        run.sink.stdout(b"x" * 65_536)
    run.end(outcome(stdout=b"x" * 65_536 * MANY))
    url = f"/api/v1/executions/{execution_id}/events"
    async with door.client.stream("GET", url) as response:
        sizes = [piece.count(b"x") async for piece in response.aiter_raw()]
    assert sum(sizes) >= 65_536 * MANY

    # It is cut off, and has its place no more.
    await eventually(lambda: streams() == 0)
    received = 0
    while piece := await asyncio.to_thread(connection.recv, 1 << 20):
        received += len(piece)
    assert received < 65_536 * MANY
    connection.close()


async def test_a_reader_that_leaves_is_noticed_at_once(door: Door) -> None:
    execution_id = await begin(door.bench)
    assert len(await read_events(door, execution_id, until="status")) == 1
    await eventually(lambda: streams() == 0)
    assert not (await door.bench.executor.service.get(execution_id)).status.is_final


async def test_the_same_events_come_over_a_websocket_which_can_cancel(door: Door) -> None:
    execution_id = await begin(door.bench)
    door.bench.sandbox.runs[0].sink.stdout(b"partial")
    async with connect(door.websocket(f"/api/v1/executions/{execution_id}/stream")) as websocket:
        messages = [json.loads(await websocket.recv()) for _ in range(2)]
        assert [message["event"] for message in messages] == ["status", "stdout"]
        await websocket.send('{"type": "cancel"}')
        async for message in websocket:
            messages.append(json.loads(message))
    assert messages[-1]["event"] == "end"
    assert messages[-1]["data"]["status"] == "cancelled"
    again = door.websocket(f"/api/v1/executions/{execution_id}/stream?after={messages[1]['id']}")
    async with connect(again) as websocket:
        assert [json.loads(message)["event"] async for message in websocket] == ["end"]


@pytest.mark.parametrize("message", ["", "[]", "nonsense", '{"type": "run"}', '{"type": "cancel", "now": 1}'])
async def test_what_a_websocket_does_not_understand_ends_it_and_nothing_else(
    door: Door, message: str
) -> None:
    execution_id = await begin(door.bench)
    async with connect(door.websocket(f"/api/v1/executions/{execution_id}/stream")) as websocket:
        await websocket.send(message)
        assert await code_of_the_end(websocket) == 4400
    assert not (await door.bench.executor.service.get(execution_id)).status.is_final
    async with connect(door.websocket("/api/v1/executions/exe_unknown/stream")) as websocket:
        assert await code_of_the_end(websocket) == 4404


async def test_a_websocket_needs_an_api_key_where_every_call_does(store: Database, tmp_path: Path) -> None:
    async with _serving(store, tmp_path, require_api_key=True) as door:
        key = await door.bench.executor.ledger.agents.add("agent-1")
        execution_id = await begin(door.bench)
        url = door.websocket(f"/api/v1/executions/{execution_id}/stream")
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, additional_headers=headers)
            assert refused.value.response.status_code == 403
        async with connect(url, additional_headers={"Authorization": f"Bearer {key}"}) as websocket:
            assert json.loads(await websocket.recv())["event"] == "status"
