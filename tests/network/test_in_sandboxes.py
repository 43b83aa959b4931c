"""Programs and their network, in real sandboxes, with real proxies and a small internet on this machine."""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from executor_mcp.network.networked import NetworkedSandbox
from executor_mcp.sandbox.base import EgressDoorway, SandboxJob
from executor_mcp.sandbox.errors import SandboxError, SandboxRefused
from executor_mcp.sandbox.pool.classes import WarmClass
from hitl_contract.action_code import NetworkMode
from tests.network.support import OTHER_PUBLIC, PUBLIC, SIZE, internet
from tests.sandbox.conftest import BACKENDS, docker_image, make_sandbox
from tests.sandbox.support import Recorder, make_job, result_of

__all__ = ["docker_image"]

PROGRAM = """
import errno, http.client, json, os, socket, ssl, subprocess, sys, urllib.error, urllib.request
def attempt(act):
    try:
        return act()
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
def get(url, data=None):
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=20) as answer:
        return len(answer.read())
def tunnel(name, first):
    with socket.create_connection(("127.0.0.1", 3128), 10) as connection:
        connection.sendall(f"CONNECT {name}:443 HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n".encode())
        answer = connection.recv(4096).split(b" ")[1].decode()
        if callable(first):
            first(connection)
        else:
            connection.sendall(first)
        return [answer, len(connection.recv(4096))]
def other_name(connection):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.wrap_socket(connection, server_hostname="other.example.com").close()
def by_the_door():
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect("/opt/network/door")
        connection.sendall(b"GET http://evil.example.org/ HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n")
        return connection.recv(4096).split(b" ")[1].decode()
def fronted():
    with socket.create_connection(("127.0.0.1", 3128), 10) as connection:
        connection.sendall(b"GET http://api.example.com/f HTTP/1.1\\r\\nHost: evil.example.org\\r\\n"
                           b"Proxy-Authorization: secret\\r\\n\\r\\n")
        return len(connection.makefile("rb").read()) > 0
def outside(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as connection:
        connection.settimeout(5)
        return errno.errorcode[connection.connect_ex((address, port))]
{
    "https": attempt(lambda: get("https://api.example.com/a")),
    "http": attempt(lambda: get("http://api.example.com/b")),
    "large": attempt(lambda: get("https://api.example.com/large")),
    "upload": attempt(lambda: get("https://api.example.com/c", b"y" * 3_000_000)),
    "child": subprocess.run([sys.executable, "-c", "import urllib.request as u;"
        "print(u.urlopen('https://api.example.com/d').status)"], capture_output=True, text=True).stdout,
    "name": attempt(lambda: get("http://other.example.com/")),
    "port": attempt(lambda: get("http://api.example.com:8080/")),
    "inside": attempt(lambda: get("http://inside.example.com/")),
    "mixed": attempt(lambda: get("http://mixed.example.com/")),
    "metadata": attempt(lambda: get("http://metadata.example.com/latest")),
    "address": attempt(lambda: get("http://169.254.169.254/latest")),
    "tunnel_name": attempt(lambda: tunnel("api.example.com", other_name)),
    "tunnel_plain": attempt(lambda: tunnel("api.example.com", b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")),
    "door": attempt(by_the_door),
    "fronted": attempt(fronted),
    "direct": sorted({outside("8.8.8.8", 53), outside("169.254.169.254", 80), outside("2606:4700::1", 443)}),
    "names": attempt(lambda: socket.getaddrinfo("api.example.com", 443)),
    "host": attempt(lambda: outside("127.0.0.1", int(input_data))),
    "write": attempt(lambda: open("/opt/network/mine", "w")),
    "seen": attempt(lambda: os.listdir("/opt/network")),
}
"""
NAMES = ("api.example.com", "inside.example.com", "mixed.example.com", "metadata.example.com")


@pytest.fixture(params=[one for one in BACKENDS if one.id in ("bubblewrap", "docker")])
def name(request: pytest.FixtureRequest) -> str:
    if request.param != "bubblewrap":
        request.getfixturevalue("docker_image")
    return str(request.param)


def networked_job(code: str, *domains: str, **options: Any) -> SandboxJob:
    job = make_job("python", code, network_mode=NetworkMode.ALLOWLIST, **options)
    return replace(job, domains=domains)


def doors() -> list[str]:
    return [entry for entry in os.listdir(tempfile.gettempdir()) if entry.startswith("hitl-door-")]


def proxies() -> list[str]:
    """Command lines of this process's proxies."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            status = (process / "status").read_text()
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if f"PPid:\t{os.getpid()}\n" in status and "edge_proxy" in command:
            found.append(status)
    return found


async def test_programs_reach_what_was_approved_and_nothing_else_and_every_connection_is_recorded(
    name: str, tmp_path: Path
) -> None:
    before = doors()
    async with internet(tmp_path) as world:
        host_port = next(iter(world.edge["places"].values()))
        sandbox = NetworkedSandbox(make_sandbox(name, "network"), world.rules)
        job = networked_job(PROGRAM, *NAMES, input_data=host_port, wall_seconds=50, pids=4)
        prepared = await sandbox.prepare(job)
        (status,) = proxies()
        run = await sandbox.start(prepared, Recorder())
        # Another execution at the same time, with other names: each has its own proxy.
        other = networked_job(
            "import urllib.request as u\n"
            "def ask(name):\n"
            "    try: return u.urlopen(f'http://{name}/z').status\n"
            "    except u.HTTPError as error: return error.code\n"
            "[ask('other.example.com'), ask('api.example.com')]",
            "other.example.com",
        )
        second = await (await sandbox.start(await sandbox.prepare(other), Recorder())).wait()
        outcome = await run.wait()
        found = result_of(outcome)
        await sandbox.close()

    assert result_of(second) == [200, 403]
    assert [(one.host, one.address, one.verdict) for one in second.connections] == [
        ("other.example.com", OTHER_PUBLIC, "allowed"),
        ("api.example.com", None, "name_not_allowed"),
    ]
    assert {key: found[key] for key in ("https", "http", "large", "upload", "child")} == {
        "https": 5,
        "http": 5,
        "large": SIZE,
        "upload": 5,
        "child": "200\n",
    }
    not_public = [403, "the name resolves to an address that is not of the public internet\n"]
    assert {key: found[key] for key in ("name", "port", "inside", "mixed", "metadata", "address")} == {
        "name": [403, "this name was not approved for this program\n"],
        "port": [403, "port 8080 is not allowed; allowed: 80, 443\n"],
        "inside": not_public,
        "mixed": not_public,
        "metadata": not_public,
        "address": [403, "this name was not approved for this program\n"],
    }
    assert found["tunnel_name"] in ("SSLEOFError", "SSLZeroReturnError", "ConnectionResetError")
    assert found["tunnel_plain"] == ["200", 0]
    assert found["door"] == "403"
    assert found["fronted"] is True
    assert set(found["direct"]) <= {"ENETUNREACH", "EADDRNOTAVAIL"}
    assert (found["names"], found["host"]) == ("gaierror", "ECONNREFUSED")
    assert found["write"] in ("OSError", "PermissionError")
    assert found["seen"] == "PermissionError"
    assert {host for _, host, _ in world.requests} == {"api.example.com", "other.example.com"}
    assert ("POST /c HTTP/1.1", "api.example.com", 3_000_000) in world.requests

    recorded = [(one.host, one.port, one.verdict) for one in outcome.connections]
    assert sorted(recorded) == sorted(
        [
            *[("api.example.com", 443, "allowed")] * 4,
            *[("api.example.com", 80, "allowed")] * 2,
            ("other.example.com", 80, "name_not_allowed"),
            ("api.example.com", 8080, "port_not_allowed"),
            ("inside.example.com", 80, "address_not_allowed"),
            ("mixed.example.com", 80, "address_not_allowed"),
            ("metadata.example.com", 80, "address_not_allowed"),
            ("169.254.169.254", 80, "name_not_allowed"),
            ("api.example.com", 443, "tls_name_differs"),
            ("api.example.com", 443, "not_tls"),
            ("evil.example.org", 80, "name_not_allowed"),
        ]
    )
    for one in outcome.connections:
        assert (one.address == PUBLIC) is (one.verdict == "allowed")
        assert (one.received > 0) is (one.verdict == "allowed")
    assert max(one.received for one in outcome.connections) > SIZE
    assert max(one.sent for one in outcome.connections) > 3_000_000
    if os.geteuid() == 0:
        assert "Uid:\t0" not in status
    assert (doors(), proxies()) == (before, [])


async def test_a_network_that_cannot_be_given_leaves_nothing_behind(tmp_path: Path) -> None:
    before = doors()
    async with internet(tmp_path) as world:
        sandbox = NetworkedSandbox(make_sandbox("bubblewrap"), world.rules)
        job = networked_job("1", "api.example.com")
        with pytest.raises(SandboxRefused, match="image"):
            await sandbox.prepare(replace(job, runtime="sha256:" + "0" * 64))
        await sandbox.discard(await sandbox.prepare(job))
        await sandbox.prepare(replace(job, execution_id="exe_other"))
        await sandbox.close()
        assert (doors(), proxies()) == (before, [])

        broken = NetworkedSandbox(
            make_sandbox("bubblewrap"), replace(world.rules, proxy_program=("/bin/false",))
        )
        with pytest.raises(SandboxError, match="ended before it was ready"):
            await broken.prepare(job)
        missing = NetworkedSandbox(
            make_sandbox("bubblewrap"), replace(world.rules, proxy_program=("/no/such/program",))
        )
        with pytest.raises(SandboxError, match="could not be started"):
            await missing.prepare(job)
        assert (doors(), proxies()) == (before, [])

        # A program that is cancelled with connections open: its proxy goes with it, and says what there was.
        waiting = networked_job(
            "import socket, sys\nc = socket.create_connection(('127.0.0.1', 3128))\n"
            "c.sendall(b'CONNECT api.example.com:443 HTTP/1.1\\r\\n\\r\\n')\nc.recv(99)\n"
            "print('open', flush=True)\nc.recv(99)",
            "api.example.com",
        )
        sink = Recorder()
        run = await sandbox.start(await sandbox.prepare(waiting), sink)
        async with asyncio.timeout(20):
            await sink.first.wait()
        await run.cancel()
        outcome = await run.wait()
        assert outcome.termination == "cancelled"
        assert [(one.host, one.verdict) for one in outcome.connections] == [("api.example.com", "unfinished")]
        assert (doors(), proxies()) == (before, [])
    with pytest.raises(SandboxRefused, match="network mode"):
        await make_sandbox("bubblewrap").prepare(job)
    gvisor = NetworkedSandbox(make_sandbox("gvisor"), world.rules)
    with pytest.raises(SandboxRefused, match="gvisor lets no socket"):
        await gvisor.prepare(job)
    await gvisor.close()
    kind = WarmClass.of("sha256:0", job.limits)
    assert kind.fits(job, 0)
    assert not kind.fits(replace(job, egress=EgressDoorway(tmp_path)), 0)
