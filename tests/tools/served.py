"""A whole approval server on a free port, and the clients of agents and people."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client import ClientExtension
from mcp.client.streamable_http import streamable_http_client

from hitl_mcp.identity.people import Role
from hitl_mcp.serving import serve_http
from hitl_mcp.settings import Settings, read_settings
from hitl_mcp.wiring import build_application, create_keys
from tests.cheap_passwords import cheap_password_hashes

PASSWORD = "correct horse battery"
REVISIONS = ("legacy", "2026-07-28")


def action(code: str = "print(6 * 7)") -> dict[str, Any]:
    return {"type": "code_execution", "language": "python", "code": code}


def asking(code: str = "print(6 * 7)", **more: Any) -> dict[str, Any]:
    return {"action": action(code), "justification": "to know the answer", **more}


@dataclass
class Served:
    """A running server with two agents and three people: ada (approver), bob (approver), root (admin)."""

    url: str
    settings: Settings
    keys: Mapping[str, str]
    sessions: dict[str, str] = field(default_factory=dict[str, str])

    def http(self, credential: str | None = None, **options: Any) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=30, **options)

    def agent(self, name: str = "builder") -> httpx2.AsyncClient:
        return self.http(self.keys[name])

    async def person(self, name: str = "ada") -> httpx2.AsyncClient:
        if name not in self.sessions:
            async with self.http() as client:
                answer = await client.post("/api/v1/session", json={"person": name, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
            self.sessions[name] = answer.json()["access_token"]
        return self.http(self.sessions[name])

    @asynccontextmanager
    async def mcp(
        self,
        name: str = "builder",
        *,
        mode: str = "auto",
        extensions: list[ClientExtension] | None = None,
        read_timeout_seconds: float | None = None,
    ) -> AsyncIterator[Client]:
        async with self.agent(name) as http:
            transport = streamable_http_client(f"{self.url}/mcp", http_client=http)
            async with Client(
                transport, mode=mode, extensions=extensions, read_timeout_seconds=read_timeout_seconds
            ) as client:
                yield client

    async def decide(
        self, request_id: str, verdict: str = "approve", person: str = "ada", **body: Any
    ) -> None:
        async with await self.person(person) as client:
            answer = await client.post(f"/api/v1/approvals/{request_id}/{verdict}", json=body)
        assert answer.status_code == 200, answer.text

    async def edit(
        self, request: Mapping[str, Any], change: Mapping[str, Any], person: str = "ada"
    ) -> dict[str, Any]:
        """The request with these fields of its action changed by a person, over the API."""
        body = {"action": {**request["action"], **change}, "action_digest": request["action_digest"]}
        async with await self.person(person) as client:
            answer = await client.post(f"/api/v1/approvals/{request['request_id']}/edit", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def pending(self) -> list[dict[str, Any]]:
        async with await self.person() as client:
            answer = await client.get("/api/v1/approvals", params={"status": "PENDING"})
        return answer.json()["requests"]

    async def one_pending(self) -> dict[str, Any]:
        """The one pending request, as soon as there is one."""
        for _ in range(1000):
            if requests := await self.pending():
                assert len(requests) == 1
                return requests[0]
            await asyncio.sleep(0.01)
        raise AssertionError("no request is pending")


def settings_for(home: Path, **environment: str) -> Settings:
    return read_settings(
        {
            "HITL_HOME": str(home),
            "HITL_HTTP__PORT": "0",
            "HITL_CONSOLE__ENABLED": "false",
            "HITL_LOG__LEVEL": "warning",
            **environment,
        }
    )


async def make_home(settings: Settings) -> dict[str, str]:
    """Keys, two agents and three people."""
    settings.home.mkdir(parents=True, exist_ok=True)
    create_keys(settings)
    async with AsyncExitStack() as making:
        making.enter_context(cheap_password_hashes())
        application = await making.enter_async_context(build_application(settings))
        keys = {name: await application.agents.add(name) for name in ("builder", "other")}
        await application.people.add("Ada", PASSWORD)
        await application.people.add("bob", PASSWORD)
        await application.people.add("root", PASSWORD, [Role.ADMIN])
    return keys


@asynccontextmanager
async def serving(settings: Settings, keys: Mapping[str, str]) -> AsyncIterator[Served]:
    """The server of a home that was made before."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    server = asyncio.create_task(serve_http(settings, ready=ready.set_result, stop=stop))
    await asyncio.wait({server, ready}, return_when=asyncio.FIRST_COMPLETED)
    if server.done():
        server.result()
    try:
        yield Served(ready.result(), settings, keys)
    finally:
        stop.set()
        await server


@dataclass(frozen=True)
class Template:
    """A home that was made once, to be copied for each test: keys and migrations take a while."""

    home: Path
    keys: Mapping[str, str]

    def copied(self, home: Path) -> Path:
        return Path(shutil.copytree(self.home, home))

    @asynccontextmanager
    async def served(self, home: Path, **environment: str) -> AsyncIterator[Served]:
        """The server of a copy of this home."""
        async with serving(settings_for(self.copied(home), **environment), self.keys) as server:
            yield server


def make_template(home: Path) -> Template:
    return Template(home, asyncio.run(make_home(settings_for(home))))
