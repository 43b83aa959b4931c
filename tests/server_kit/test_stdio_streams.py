"""A server's stdin and stdout: every message whole, nothing between them, and an end with the client's."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.architecture.repository import ROOT

SERVER = StdioServerParameters(command=sys.executable, args=["-m", "tests.server_kit.echo_server"], cwd=ROOT)
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


async def echoed(client: Client, text: str) -> object:
    result = await client.call_tool("echo", {"text": text})
    return (result.structured_content or {}).get("result")


async def test_messages_of_any_size_and_script_arrive_whole_whatever_is_printed_meanwhile() -> None:
    large = "z\u00e4\u2028\U0001f600\\n" * 700_000
    async with Client(stdio_client(SERVER)) as client:
        assert await echoed(client, "small") == "small"
        assert await echoed(client, large) == large
        assert await asyncio.gather(*(echoed(client, f"{n}") for n in range(5))) == [f"{n}" for n in range(5)]


async def started() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.server_kit.echo_server"),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


async def test_a_message_that_comes_in_pieces_is_one_and_a_client_that_ends_gets_its_descriptors_back() -> (
    None
):
    server = await started()
    assert server.stdin
    assert server.stdout
    message = json.dumps(INITIALIZE).encode() + b"\n"
    for piece in (message[:10], message[10:50], message[50:]):
        server.stdin.write(piece)
        await server.stdin.drain()
    async with asyncio.timeout(30):
        answer = json.loads(await server.stdout.readline())
        server.stdin.close()
        rest = await server.stdout.read()
        assert await server.wait() == 0
    assert answer["result"]["serverInfo"]["name"] == "echo"
    # Printed after serving: stdout is the real one again.
    assert rest == b"served\n"


async def test_bytes_that_are_no_text_are_an_answered_error_and_not_the_end() -> None:
    server = await started()
    assert server.stdin
    assert server.stdout
    server.stdin.write(b"\xff\xfe{\n" + json.dumps(INITIALIZE).encode() + b"\n")
    await server.stdin.drain()
    async with asyncio.timeout(30):
        answer = json.loads(await server.stdout.readline())
        while "result" not in answer:
            answer = json.loads(await server.stdout.readline())
        server.stdin.close()
        assert await server.wait() == 0


@pytest.mark.parametrize("kind", ["a file", "nothing"])
def test_input_from_a_file_is_served_as_well(kind: str, tmp_path: Path) -> None:
    asked, answered = tmp_path / "asked", tmp_path / "answered"
    asked.write_text(json.dumps(INITIALIZE) + "\n")
    with asked.open() as given, answered.open("w") as taken:
        done = subprocess.run(
            [sys.executable, "-m", "tests.server_kit.echo_server"],
            cwd=ROOT,
            stdin=given if kind == "a file" else subprocess.DEVNULL,
            stdout=taken,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    lines = answered.read_text().splitlines()
    assert lines[-1] == "served"
    assert len(lines) == (2 if kind == "a file" else 1)
