"""The proxy of one execution: `python -m executor_mcp.network.proxy_process LISTENER`, a process of its own.

Its first line of input says what may be reached; it ends with its input. Each connection that ended is a line
of output (`Report`). LISTENER is the number of a listening socket that it inherits.

1. As root it becomes a user that owns nothing, after everything is imported.
2. It may write no file, and has bounds on memory, processor time and descriptors.
3. So many connections at a time, and so many in all; the next ones wait, or are closed.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import socket
import sys
import tempfile
import threading
from typing import Any, cast

from proxy.common.flag import FlagParser
from proxy.http.connection import HttpClientConnection

from executor_mcp.network.egress import Connect, Egress, EgressPolicy, Resolve, connect, resolve
from executor_mcp.network.errors import Verdict
from executor_mcp.network.plugin import EgressHandler, EgressPlugin, Report

_AT_A_TIME = 32
_MEMORY_BYTES = 256 * 1024 * 1024
_STACK_BYTES = 1024 * 1024
_DESCRIPTORS = 1024
_LAST_LINES_SECONDS = 2.0
_IDLE_SECONDS = 3600


def run(arguments: list[str], *, resolve: Resolve = resolve, connect: Connect = connect) -> None:
    """Serves until standard input ends. Other ways to resolve and connect are for tests."""
    orders = json.loads(sys.stdin.buffer.readline())
    policy = EgressPolicy(frozenset(orders["domains"]), frozenset(orders["ports"]))
    flags = _flags()
    flags.egress = Egress(policy, resolve=resolve, connect=connect)
    with (
        open(1, "w", encoding="ascii", closefd=False) as lines,
        socket.socket(fileno=int(arguments[0])) as listener,
    ):
        flags.report = Report(lines)
        # What is imported on first use would be out of reach once this is nobody.
        "preflight.example".encode("idna")
        with contextlib.suppress(OSError):
            socket.getaddrinfo("localhost", 80)
        _confine(orders)
        lines.write("ready\n")
        lines.flush()
        _serve(listener, flags, orders["connections"])


def _flags() -> Any:
    """proxy.py makes directories for features that are not used here."""
    with tempfile.TemporaryDirectory() as directory:
        options = ["--data-dir", "--ca-cert-dir", "--cache-dir"]
        arguments = [part for option in options for part in (option, directory)]
        flags: Any = FlagParser.initialize(
            [*arguments, "--threaded", "--timeout", str(_IDLE_SECONDS), "--log-level", "CRITICAL"]
        )
    flags.plugins = {b"HttpProtocolHandlerPlugin": [EgressPlugin]}
    return flags


def _confine(orders: dict[str, Any]) -> None:
    user = orders["user"]
    if user is not None:  # 1
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    seconds = int(orders["cpu_seconds"])  # 2
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_DATA, _MEMORY_BYTES),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
    ):
        resource.setrlimit(kind, (value, value))


def _serve(listener: socket.socket, flags: Any, most: int) -> None:
    places = threading.Semaphore(_AT_A_TIME)
    clients: set[socket.socket] = set()
    threads: list[threading.Thread] = []
    served = 0

    def handle(client: socket.socket) -> None:
        try:
            EgressHandler(HttpClientConnection(client, None), flags=flags).run()
        finally:
            clients.discard(client)
            client.close()
            places.release()

    threading.stack_size(_STACK_BYTES)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            break
        if not places.acquire(timeout=0.05):  # 3
            continue
        client, _ = listener.accept()
        served += 1
        if served > most:
            if served == most + 1:
                _report_too_many(cast("Report", flags.report))
            client.close()
            places.release()
            continue
        clients.add(client)
        thread = threading.Thread(target=handle, args=(client,), daemon=True)
        threads = [one for one in threads if one.is_alive()]
        threads.append(thread)
        thread.start()
    for client in tuple(clients):
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(_LAST_LINES_SECONDS)


def _report_too_many(report: Report) -> None:
    verdict = Verdict.TOO_MANY.value
    report.write(report.number(), host="", port=0, address=None, verdict=verdict, sent=0, received=0)


if __name__ == "__main__":
    run(sys.argv[1:])
