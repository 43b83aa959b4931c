"""The gate in front of an MCP server over streamable HTTP: agents with their own keys, on both revisions."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import Tool

from hitl_mcp.proxy.http_callers import callers_of
from hitl_mcp.proxy.http_serving import serve_proxy_over_http
from hitl_mcp.proxy.patience import Patience
from hitl_mcp.proxy.serving import Upstream
from server_kit.http_serving import Address
from tests.proxy.proxied import HITL, UPSTREAM, calls, environment, text, written
from tests.tools.served import REVISIONS, Served

pytestmark = pytest.mark.timeout(180)

PAY = {"to": "ada", "amount": 5}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}
BOTH = {"Accept": "application/json, text/event-stream"}


class Door:
    """A running proxy."""

    def __init__(self, server: Served, url: str) -> None:
        self.server = server
        self.url = url

    def http(self, credential: str, **headers: str) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {credential}", **BOTH, **headers}, timeout=30
        )

    @asynccontextmanager
    async def client(self, agent: str = "builder", **options: Any) -> AsyncIterator[Client]:
        async with (
            self.http(self.server.keys[agent]) as http,
            Client(streamable_http_client(self.url, http_client=http), **options) as client,
        ):
            yield client


@asynccontextmanager
async def door(
    server: Served, tmp_path: Path, *command: str, patience: Patience | None = None
) -> AsyncIterator[Door]:
    book = tmp_path / "book"
    book.mkdir(exist_ok=True)
    upstream = Upstream(command or (sys.executable, UPSTREAM, str(book)))
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with callers_of(server.url) as callers:
        serving = asyncio.create_task(
            serve_proxy_over_http(
                callers,
                upstream,
                name="bank",
                state=tmp_path / "state",
                patience=patience or Patience(),
                address=Address("127.0.0.1", 0),
                ready=ready.set_result,
                stop=stop,
            )
        )
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        try:
            yield Door(server, ready.result())
        finally:
            stop.set()
            await serving


@pytest.mark.parametrize("mode", REVISIONS)
async def test_all_but_calls_passes_as_it_is_and_a_call_waits_for_a_person(
    server: Served, tmp_path: Path, mode: str
) -> None:
    heard: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    async with door(server, tmp_path) as proxy:
        direct = StdioServerParameters(command=sys.executable, args=[UPSTREAM, str(tmp_path / "book")])
        async with Client(direct, mode=mode) as plain, proxy.client(mode=mode) as client:
            tools = await client.list_tools()
            assert tools.model_dump() == (await plain.list_tools()).model_dump()
            assert client.protocol_version == plain.protocol_version
            assert client.instructions == plain.instructions
            assert (await client.read_resource("bank://accounts")).contents[0].text == "ada"
            waiting = asyncio.create_task(client.call_tool("pay", PAY))
            pending = await server.one_pending()
            assert (pending["agent"], pending["action"]["arguments"]) == ("builder", PAY)
            assert calls(tmp_path / "book") == []
            edited = await server.edit(pending, {"arguments": {"to": "ada", "amount": 4}})
            await server.decide(edited["request_id"], person="bob", action_digest=edited["action_digest"])
            assert "paid 4 to ada" in text(await waiting)
            waiting = asyncio.create_task(client.call_tool("slow", {}, progress_callback=hear))
            pending = await server.one_pending()
            await server.decide(pending["request_id"])
            assert text(await waiting) == "done"
    assert pending["request_id"] in str(heard[0][1])
    assert [message for _, message in heard][-3:] == ["step 0", "step 1", "step 2"]


@pytest.mark.parametrize("mode", REVISIONS)
async def test_two_agents_at_once_ask_each_in_their_own_name(
    server: Served, tmp_path: Path, mode: str
) -> None:
    async with (
        door(server, tmp_path) as proxy,
        proxy.client("builder", mode=mode) as one,
        proxy.client("other", mode=mode) as two,
        proxy.client("builder", mode=mode) as three,
    ):
        waiting = {
            "builder": asyncio.create_task(one.call_tool("pay", PAY)),
            "other": asyncio.create_task(two.call_tool("pay", PAY)),
        }
        # The clients of one agent use the same ids, and are told apart.
        listed = await three.list_tools()
        assert "pay" in {tool.name for tool in listed.tools}
        async with asyncio.timeout(60):
            while len(pending := await server.pending()) < 2:  # noqa: ASYNC110 - other processes ask
                await asyncio.sleep(0.02)
        by_agent = {each["agent"]: each["request_id"] for each in pending}
        await server.decide(by_agent["other"], "deny", reason="not you")
        assert "not you" in text(await waiting["other"])
        await server.decide(by_agent["builder"])
        assert text(await waiting["builder"]) == "paid 5 to ada"
    assert len(calls(tmp_path / "book")) == 1


async def test_it_answers_agents_keys_alone_under_its_own_name(server: Served, tmp_path: Path) -> None:
    async with server.http() as client:
        body = {"person": "ada", "password": "correct horse battery"}
        session = (await client.post("/api/v1/session", json=body)).json()["access_token"]
    async with door(server, tmp_path) as proxy:
        good = server.keys["builder"]
        for credential in ("wrong", "hitl_agent_wrong", session):
            async with proxy.http(credential) as http:
                for method in ("POST", "GET", "DELETE"):
                    assert (await http.request(method, proxy.url, json=INITIALIZE)).status_code == 401
        async with proxy.http(good, Origin="https://evil.example") as http:
            assert (await http.post(proxy.url, json=INITIALIZE)).status_code == 403
        async with proxy.http(good, Host="evil.example") as http:
            refused = await http.post(proxy.url, json=INITIALIZE)
            assert refused.status_code == 421
            assert "--public-url" in refused.json()["detail"]
        async with proxy.http(good) as http:
            assert (await http.post(proxy.url, content=b" " * (5 * 1024 * 1024))).status_code == 413
            assert (await http.get(proxy.url.removesuffix("/mcp") + "/health")).status_code == 200
    assert not list((tmp_path / "state").glob("*"))


async def test_a_session_is_its_own_agents_and_ends_when_that_ends_it(server: Served, tmp_path: Path) -> None:
    async with (
        door(server, tmp_path) as proxy,
        proxy.http(server.keys["builder"]) as own,
        proxy.http(server.keys["other"]) as foreign,
    ):
        begun = await own.post(proxy.url, json=INITIALIZE)
        assert begun.status_code == 200
        session = {"Mcp-Session-Id": begun.headers["mcp-session-id"]}
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        for method in ("POST", "DELETE", "GET"):
            refused = await foreign.request(method, proxy.url, json=ping, headers=session)
            assert refused.status_code == 404
        assert (await own.post(proxy.url, json=ping, headers=session)).status_code == 200
        assert (await own.post(proxy.url, json=ping)).status_code == 400
        assert (await own.delete(proxy.url, headers=session)).status_code == 200
        assert (await own.post(proxy.url, json=ping, headers=session)).status_code == 404


async def test_a_revoked_key_opens_nothing_more(server: Served, tmp_path: Path) -> None:
    from hitl_mcp.wiring import build_application

    async with door(server, tmp_path) as proxy, proxy.client() as client:
        await client.list_tools()
        async with build_application(server.settings) as application:
            await application.agents.revoke("builder")
        with pytest.raises(MCPError):
            await client.list_tools()


async def test_a_call_cut_off_with_its_session_is_reported_to_its_agent_alone_and_not_repeated(
    server: Served, tmp_path: Path
) -> None:
    call = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "wait_for_ever", "arguments": {}},
    }
    async with door(server, tmp_path) as proxy:
        async with proxy.http(server.keys["builder"]) as http:
            begun = await http.post(proxy.url, json=INITIALIZE)
            session = {"Mcp-Session-Id": begun.headers["mcp-session-id"]}
            ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            assert (await http.post(proxy.url, json=ready, headers=session)).status_code == 202
            waiting = asyncio.create_task(http.post(proxy.url, json=call, headers=session))
            await server.decide((await server.one_pending())["request_id"])
            await written(tmp_path / "book", {"waiting": True})
            assert (await http.delete(proxy.url, headers=session)).status_code == 200
            await asyncio.gather(waiting, return_exceptions=True)
            await written(tmp_path / "book", {"cancelled": True})
        async with proxy.client("other") as client:
            other = asyncio.create_task(client.call_tool("wait_for_ever", {}))
            await server.decide((await server.one_pending())["request_id"], "deny")
            assert "cut off" not in text(await other)
        async with proxy.client() as client:
            assert "cut off" in text(await client.call_tool("wait_for_ever", {}))
    assert await server.pending() == []
    assert [entry for entry in calls(tmp_path / "book") if "waiting" in entry] == [{"waiting": True}]


async def test_a_client_that_goes_away_leaves_its_request_and_calls_nothing(
    server: Served, tmp_path: Path
) -> None:
    async with door(server, tmp_path) as proxy, proxy.client(mode=REVISIONS[1]) as client:
        waiting = asyncio.create_task(client.call_tool("pay", PAY))
        pending = await server.one_pending()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await server.decide(pending["request_id"])
        await client.list_tools()
        assert calls(tmp_path / "book") == []
        assert text(await client.call_tool("pay", PAY)) == "paid 5 to ada"


@pytest.mark.parametrize("mode", REVISIONS)
async def test_a_server_that_ends_is_reported_and_the_next_request_has_a_new_one(
    server: Served, tmp_path: Path, mode: str
) -> None:
    async with door(server, tmp_path) as proxy:
        async with proxy.client(mode=mode) as client:
            waiting = asyncio.create_task(client.call_tool("crash", {}))
            await server.decide((await server.one_pending())["request_id"])
            lost = await waiting
            assert lost.is_error
            assert "may or may not" in text(lost)
        async with proxy.client(mode=mode) as client:
            assert "pay" in {tool.name for tool in await _tools(client)}


async def _tools(client: Client) -> list[Tool]:
    """A request that arrives while what ended is being cleared away is told to ask again."""
    async with asyncio.timeout(20):
        while True:
            try:
                return (await client.list_tools()).tools
            except MCPError as error:
                if "Ask again" not in str(error):
                    raise


async def test_a_server_that_cannot_be_spoken_to_is_an_error_and_no_hang(
    server: Served, tmp_path: Path
) -> None:
    async with door(server, tmp_path, "false") as proxy, proxy.http(server.keys["builder"]) as http:
        async with asyncio.timeout(30):
            answers = [await http.post(proxy.url, json=INITIALIZE) for _ in range(3)]
        assert all(answer.status_code >= 400 or "error" in answer.text for answer in answers)


async def test_the_command_serves_agents_of_its_home_in_front_of_a_server(
    server: Served, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    book.mkdir()
    options = ("--transport", "http", "--port", "0", "--name", "bank")
    process = await asyncio.create_subprocess_exec(
        HITL,
        *("proxy", *options, "--", sys.executable, UPSTREAM, str(book)),
        env={**environment(server, server.settings.home), "HITL_URL": "", "HITL_CONSOLE__ENABLED": "false"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
        [url] = re.findall(r"http://\S+/mcp", line)
        async with Door(server, url).client() as client:
            waiting = asyncio.create_task(client.call_tool("pay", PAY))
            await server.decide((await server.one_pending())["request_id"])
            assert text(await waiting) == "paid 5 to ada"
        process.terminate()
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.parametrize("more", [("--agent", "builder"), ("--port", "0")], ids=["agent", "no such command"])
async def test_it_says_at_the_start_what_is_wrong(
    server: Served, tmp_path: Path, more: tuple[str, ...]
) -> None:
    command = sys.executable if "--agent" in more else "/no/such/program"
    process = await asyncio.create_subprocess_exec(
        HITL,
        *("proxy", "--transport", "http", *more, "--", command),
        env=environment(server, tmp_path),
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"error" in errors
