"""The proxy process by itself: hostile clients, its bounds, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from executor_mcp.network.door import EgressDoor
from executor_mcp.network.networked import NetworkRules
from executor_mcp.sandbox.host_directories import DOOR_SOCKET
from tests.network.support import PUBLIC, Internet, internet, real_hello

HOSTILE = (
    b"",
    b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01",
    b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
    b"CONNECT :443 HTTP/1.1\r\n\r\n",
    b"CONNECT api.example.com:99999999999999 HTTP/1.1\r\n\r\n",
    b"CONNECT [::1]:443 HTTP/1.1\r\n\r\n",
    b"CONNECT \xff\xfe:443 HTTP/1.1\r\n\r\n",
    b"GET http://api.example.com@evil.example.org/ HTTP/1.1\r\n\r\n",
    b"GET http://evil.example.org#@api.example.com/ HTTP/1.1\r\n\r\n",
    b"GET ftp://api.example.com/ HTTP/1.1\r\n\r\n",
    b"GET http://api.example.com%00.evil.example.org/ HTTP/1.1\r\n\r\n",
    b"POST http://api.example.com/ HTTP/1.1\r\nContent-Length: -5\r\n\r\nx",
    b"POST http://api.example.com/ HTTP/1.1\r\nContent-Length: x\r\n\r\nx",
    b"POST http://api.example.com/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"A" * 200_000,
    b"GET http://api.example.com/ HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
)


@asynccontextmanager
async def door(rules: NetworkRules, *names: str, most: int = 1000) -> AsyncIterator[EgressDoor]:
    made = await EgressDoor.open(
        names, rules.ports, cpu_seconds=60, program=rules.proxy_program, most_connections=most
    )
    await made.ready()
    try:
        yield made
    finally:
        await made.close()


async def ask(made: EgressDoor, sent: bytes, *, end: bool = False) -> bytes:
    """What comes back for these bytes, until the proxy ends the connection."""
    reader, writer = await asyncio.open_unix_connection(str(made.directory / DOOR_SOCKET))
    try:
        async with asyncio.timeout(20):
            writer.write(sent)
            if end:
                writer.write_eof()
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def plain(name: str, path: str = "/") -> bytes:
    return f"GET http://{name}{path} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Internet]:
    async with internet(tmp_path) as made:
        yield made


async def test_hostile_clients_reach_nothing_and_the_proxy_goes_on(world: Internet) -> None:
    async with door(world.rules, "api.example.com") as made:
        answers = await asyncio.gather(*(ask(made, sent, end=True) for sent in HOSTILE))
        assert all(b" 200 " not in answer.split(b"\r\n")[0] for answer in answers)
        assert world.requests == []
        # One that says nothing more holds its own place and nobody else's.
        silent = [await asyncio.open_unix_connection(str(made.directory / DOOR_SOCKET)) for _ in range(20)]
        for _, writer in silent:
            writer.write(b"CONNECT api.example.com:443 HTTP/1.1\r\n\r\n\x16")
        both = plain("api.example.com") + plain("evil.example.org", "/second")
        assert (await ask(made, plain("api.example.com"))).endswith(b"hello")
        # What follows a request in its connection is not looked at, and not sent.
        await ask(made, both)
        assert [host for _, host, _ in world.requests][:1] == ["api.example.com"]
        assert all("second" not in line for line, _, _ in world.requests)
        for _, writer in silent:
            writer.close()
        connections = await made.close()
    assert {one.verdict for one in connections if one.host != "api.example.com"} <= {"name_not_allowed"}


async def test_a_connection_is_on_record_before_anything_is_sent_whatever_becomes_of_the_proxy(
    world: Internet,
) -> None:
    async with door(world.rules, "api.example.com") as made:
        assert (await ask(made, plain("api.example.com"))).endswith(b"hello")
        reader, writer = await asyncio.open_unix_connection(str(made.directory / DOOR_SOCKET))
        writer.write(b"CONNECT api.example.com:443 HTTP/1.1\r\n\r\n" + real_hello("api.example.com"))
        async with asyncio.timeout(20):
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            assert (await reader.readexactly(3))[:2] == b"\x16\x03"
        made._process.kill()  # pyright: ignore[reportPrivateUsage]
        connections = await made.close()
        writer.close()
    assert [(one.port, one.address, one.verdict) for one in connections] == [
        (80, PUBLIC, "allowed"),
        (443, PUBLIC, "cut_off"),
    ]


async def test_so_many_connections_are_made_and_recorded_and_no_more(world: Internet) -> None:
    async with door(world.rules, "api.example.com", most=50) as made:
        for _ in range(3):
            await asyncio.gather(*(ask(made, plain("evil.example.org")) for _ in range(20)))
        assert await ask(made, plain("api.example.com")) == b""
        connections = await made.close()
    assert len(connections) == 51
    assert [one.verdict for one in connections].count("too_many") == 1
    assert world.requests == []


async def test_the_proxy_ends_with_the_process_that_started_it(world: Internet) -> None:
    program = (
        "import asyncio, sys\n"
        "from executor_mcp.network.door import EgressDoor\n"
        "async def main():\n"
        "    door = await EgressDoor.open(['a.example'], [443], cpu_seconds=9)\n"
        "    await door.ready()\n"
        "    print(door._process.pid, door.directory, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    process, directory = (await child.stdout.readline()).split()
    handle = os.pidfd_open(int(process))
    child.send_signal(signal.SIGKILL)
    await child.wait()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(handle, ended.set)
    async with asyncio.timeout(20):
        await ended.wait()
    asyncio.get_running_loop().remove_reader(handle)
    os.close(handle)
    # Its directory is for the next start to remove.
    from executor_mcp.network.door import remove_left_doors

    assert remove_left_doors() >= 1
    assert not os.path.exists(os.fsdecode(directory))  # noqa: ASYNC240
