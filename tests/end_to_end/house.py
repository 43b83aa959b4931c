"""Both servers as real processes in a home of their own, and everybody who talks to them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from hitl_mcp.processes import ServerProcess, clean_environment, free_port

PASSWORD = "a long enough password"
PERSON = "ada"
PROGRAM: dict[str, Any] = {
    "type": "code_execution",
    "language": "python",
    "code": "print(6 * 7)\n{'answer': input_data['a'] * input_data['b']}",
    "input_data": {"a": 6, "b": 7},
}


class ToolRefused(Exception):
    """A tool answered with an error."""


@dataclass
class Agent:
    """An MCP client, with an agent's credential and nothing more."""

    client: Client

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments)
        if result.is_error:
            raise ToolRefused(" ".join(getattr(part, "text", "") for part in result.content))
        return dict(result.structured_content or {})

    async def ask(self, action: Mapping[str, Any] = PROGRAM, **more: Any) -> dict[str, Any]:
        arguments = {"action": dict(action), "justification": "to know the answer", "wait_seconds": 0, **more}
        return await self.call("request_approval", **arguments)


@dataclass
class House:
    """Two servers, an agent's key and a person's password."""

    home: Path
    approval_url: str
    executor_url: str
    environment: dict[str, str] = field(repr=False)
    api_key: str = field(default="", repr=False)

    async def command(self, *words: str) -> dict[str, Any]:
        """The JSON that one of the commands prints; fails unless it ends with status 0."""
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name(words[0])),
            *words[1:],
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(50):
            output, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return json.loads(output) if output.strip() else {}

    @asynccontextmanager
    async def agent(self, server: str = "approval", transport: str = "http") -> AsyncIterator[Agent]:
        """An agent's session with one of the servers, over the transport asked for."""
        async with AsyncExitStack() as stack:
            if transport == "stdio":
                command = "hitl" if server == "approval" else "hitl-executor"
                parameters = StdioServerParameters(
                    command=str(Path(sys.executable).with_name(command)),
                    args=["mcp"],
                    env={**self.environment, "HITL_AGENT": "robot"},
                )
                opened = stdio_client(parameters)
            else:
                url = self.approval_url if server == "approval" else self.executor_url
                headers = {"Authorization": f"Bearer {self.api_key}"} if server == "approval" else {}
                http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=50))
                opened = streamable_http_client(f"{url}/mcp", http_client=http)
            yield Agent(await stack.enter_async_context(Client(opened)))

    @asynccontextmanager
    async def person(self) -> AsyncIterator[httpx2.AsyncClient]:
        """The REST API as the approver sees it after signing in."""
        async with httpx2.AsyncClient(base_url=self.approval_url, timeout=30) as http:
            answer = await http.post("/api/v1/session", json={"person": PERSON, "password": PASSWORD})
            answer.raise_for_status()
            http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            yield http

    async def decide(self, asked: Mapping[str, Any], verdict: str = "approve") -> None:
        async with self.person() as http:
            body = {"action_digest": asked["action_digest"]}
            answer = await http.post(f"/api/v1/approvals/{asked['request_id']}/{verdict}", json=body)
            assert answer.status_code == 200, answer.text


@asynccontextmanager
async def open_house(
    home: Path, *, sandbox: str = "bubblewrap", settings: Mapping[str, str] | None = None
) -> AsyncIterator[House]:
    """Initialise a home, start both servers, and stop them afterwards."""
    approval_port, executor_port = free_port(), free_port()
    approval_url, executor_url = f"http://127.0.0.1:{approval_port}", f"http://127.0.0.1:{executor_port}"
    environment = clean_environment(
        {
            "HITL_HOME": str(home / "hitl"),
            "HITL_HTTP__PORT": str(approval_port),
            "HITL_HTTP__PUBLIC_URL": approval_url,
            "HITL_EXECUTOR_URL": executor_url,
            "EXECUTOR_HOME": str(home / "executor"),
            "EXECUTOR_HTTP__PORT": str(executor_port),
            "EXECUTOR_JWKS": f"{approval_url}/.well-known/jwks.json",
            "EXECUTOR_ISSUER": approval_url,
            "EXECUTOR_SANDBOX": sandbox,
            **(settings or {}),
        }
    )
    house = House(home, approval_url, executor_url, environment)
    scripts = Path(sys.executable).parent
    servers = [
        (
            ServerProcess(
                "approval", [str(scripts / "hitl"), "serve"], environment, output=home / "approval.log"
            ),
            approval_port,
        ),
        (
            ServerProcess(
                "executor",
                [str(scripts / "hitl-executor"), "serve"],
                environment,
                output=home / "executor.log",
            ),
            executor_port,
        ),
    ]
    # Commands of people and operators ask for the password; a server has no use for it.
    house.environment = {**environment, "HITL_INIT_PASSWORD": PASSWORD, "HITL_PASSWORD": PASSWORD}
    await house.command("hitl", "init", "--person", PERSON, "--rules", "none", "--json")
    try:
        for server, _ in servers:
            await server.start()
        house.api_key = (await house.command("hitl", "agents", "add", "robot", "--json"))["api_key"]
        for server, port in servers:
            await server.wait_ready("127.0.0.1", port, timeout_seconds=50)
        yield house
    finally:
        await asyncio.gather(*(server.stop() for server, _ in servers))
