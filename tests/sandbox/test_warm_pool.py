"""What only a pool has: containers that wait, die while they wait, and must leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from executor_mcp.sandbox.control_groups import processor_group
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.pool.container import WarmContainer
from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox
from executor_mcp.sandbox.settings import PoolSettings
from executor_mcp.sandbox.supervised import PreparedSandbox
from hitl_contract.action_code import InputFile
from tests.sandbox.support import Recorder, begin, make_job, result_of, run, until

INSTANCE = f"warm-{os.getpid()}"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(docker_image: str) -> AsyncIterator[PooledDockerSandbox]:
    del docker_image
    engine = DockerEngine()
    pool = PoolSettings(minimum=2, maximum=4)
    sandbox = PooledDockerSandbox(engine, DockerSandbox(engine, instance=INSTANCE), pool)
    await sandbox.remove_leftovers()
    yield sandbox
    await sandbox.close()


async def warm(sandbox: PooledDockerSandbox, count: int = 2) -> None:
    await until(lambda: sandbox.report().ready >= count, f"{count} containers wait")
    await sandbox.until_idle()


def container_of(prepared: object) -> WarmContainer:
    assert isinstance(prepared, PreparedSandbox)
    assert isinstance(prepared.channel, WarmContainer)
    return prepared.channel


async def test_each_container_is_used_once_and_replaced_off_the_way(sandbox: PooledDockerSandbox) -> None:
    seen: set[str] = set()
    served = sandbox.report().served_warm
    for number in range(4):
        await warm(sandbox)
        prepared = await sandbox.prepare(make_job("python", f"{number}"))
        seen.add(container_of(prepared).container_id)
        outcome = await (await sandbox.start(prepared, Recorder())).wait()
        assert outcome.result_json == str(number).encode()
    assert len(seen) == 4
    assert sandbox.report().served_warm == served + 4


async def test_one_that_dies_before_the_program_is_let_go_is_replaced_and_the_program_runs_once(
    sandbox: PooledDockerSandbox,
) -> None:
    await warm(sandbox)
    served = sandbox.report().served_warm
    prepared = await sandbox.prepare(make_job("bash", "echo ran"))
    container = container_of(prepared)
    engine = DockerEngine()
    await engine.kill(container.container_id)
    sink = Recorder()
    outcome = await (await sandbox.start(prepared, sink)).wait()
    await engine.close()
    assert (outcome.termination, outcome.stdout, sink.out) == ("exited", b"ran\n", b"ran\n")
    assert sandbox.report().served_warm == served + 2


async def test_one_that_dies_while_it_waits_is_replaced(sandbox: PooledDockerSandbox) -> None:
    await warm(sandbox)
    launched = sandbox.report().launched
    engine = DockerEngine()
    ids = {item.container_id for item in await engine.labelled("hitl.sandbox.instance", INSTANCE, "none")}
    for container_id in ids:
        await engine.kill(container_id)
    await until(lambda: sandbox.report().launched >= launched + 2, "others are made in their place")
    await warm(sandbox)
    assert (await run(sandbox, "python", "1")).result_json == b"1"
    await engine.close()


async def test_a_network_namespace_is_used_again_only_when_nothing_was_sent_in_it(
    sandbox: PooledDockerSandbox,
) -> None:
    await warm(sandbox)
    thrown_away = sandbox.networks_thrown_away()
    for _ in range(4):
        await run(sandbox, "python", "import os, socket\nsocket.socketpair()\nos.getpid()")
        await warm(sandbox)
    assert sandbox.networks_thrown_away() == thrown_away
    talk = """
import socket
server = socket.create_server(("127.0.0.1", 4321))
client = socket.create_connection(("127.0.0.1", 4321))
client.close()
"""
    assert (await run(sandbox, "python", talk)).exit_code == 0
    await warm(sandbox)
    assert sandbox.networks_thrown_away() == thrown_away + 1


async def test_two_live_programs_share_neither_loopback_nor_abstract_sockets(
    sandbox: PooledDockerSandbox,
) -> None:
    await warm(sandbox)
    listen = """
import socket, time
a = socket.create_server(("127.0.0.1", 4321))
b = socket.socket(socket.AF_UNIX)
b.bind("\\0here")
b.listen()
print("up", flush=True)
time.sleep(30)
"""
    reach = """
import socket
def attempt(family, address):
    try:
        socket.socket(family).connect(address)
        return "reached"
    except OSError:
        return "refused"
[attempt(socket.AF_INET, ("127.0.0.1", 4321)), attempt(socket.AF_UNIX, "\\0here")]
"""
    sink = Recorder()
    running = await begin(sandbox, make_job("python", listen), sink)
    await asyncio.wait_for(sink.first.wait(), 20)
    assert result_of(await run(sandbox, "python", reach)) == ["refused", "refused"]
    await running.cancel()


async def test_a_program_finds_no_descriptor_socket_or_trace_of_its_supervisor(
    sandbox: PooledDockerSandbox,
) -> None:
    await warm(sandbox)
    code = """
import os, sys
{
    "descriptors": sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1],
    "socket": os.path.exists("/run/hitl/socket"),
    "writable": os.access("/run/hitl", os.W_OK),
    "arguments": sys.argv,
    "variables": sorted(os.environ),
}
"""
    found = result_of(await run(sandbox, "python", code))
    assert found["descriptors"] == [0, 1, 2, 3]
    assert (found["socket"], found["writable"]) == (False, False)
    assert found["arguments"] == ["/tmp/work/program.py"]
    assert "HITL" not in str(found["variables"])


async def test_two_programs_draw_different_random_numbers(sandbox: PooledDockerSandbox) -> None:
    await warm(sandbox)
    code = (
        "import random, secrets, uuid\n[random.random(), hash('x'), secrets.token_hex(8), str(uuid.uuid4())]"
    )
    first, second = [result_of(await run(sandbox, "python", code)) for _ in range(2)]
    assert not set(first) & set(second)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("f = open('kept', 'w')\nf.write('unflushed')", (0, b"", b"")),
        ("import atexit\natexit.register(print, 'bye')\nprint('hello')", (0, b"hello\nbye\n", b"")),
        ("import threading, time\nthreading.Timer(0.05, print, ('late',)).start()", (0, b"late\n", b"")),
        ("import sys\nsys.exit('no good')", (1, b"", b"no good\n")),
        ("import sys\nsys.exit(300)", (44, b"", b"")),
        ("raise KeyboardInterrupt", (130, None, None)),
        ("import csv\nprint('own imports', end='')", (0, b"own imports", b"")),
        ("class A:\n    def __del__(self): print('let go')\na = A()\na.a = a", (0, b"let go\n", b"")),
    ],
    ids=["unflushed_file", "atexit", "thread", "message", "large_status", "interrupt", "imports", "cycle"],
)
async def test_a_program_ends_as_an_interpreter_ends(
    sandbox: PooledDockerSandbox, code: str, expected: tuple[int, bytes | None, bytes | None]
) -> None:
    await warm(sandbox, 1)
    outcome = await run(sandbox, "python", code)
    status, out, err = expected
    assert outcome.exit_code == status
    assert out is None or (outcome.stdout, outcome.stderr) == (out, err)
    if "kept" in code:
        assert [file.content for file in outcome.files] == [b"unflushed"]


async def test_only_the_program_itself_can_say_how_it_ended(sandbox: PooledDockerSandbox) -> None:
    """What it has forked ends in the same way, with the same memory."""
    await warm(sandbox, 1)
    code = "import os, time\nif os.fork():\n  os.wait()\n  os.close(3)\n  time.sleep(0.2)\n  os._exit(5)"
    outcome = await run(sandbox, "python", code)
    assert (outcome.termination, outcome.exit_code) == ("exited", 5)


async def test_an_end_that_nothing_waits_for_is_told_as_any_other(sandbox: PooledDockerSandbox) -> None:
    """The supervisor tells of an end before the kernel has taken all apart, where nothing hangs on it."""
    await warm(sandbox, 1)
    code = """
import subprocess, sys, threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
subprocess.run(["sh", "-c", "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done"])
subprocess.Popen(["sleep", "60"])
open("left", "w").write("x" * 100_000)
print("y" * 100_000)
sys.exit(7)
"""
    outcome = await run(sandbox, "python", code)
    assert (outcome.termination, outcome.exit_code, len(outcome.stdout)) == ("exited", 7, 100_001)
    assert [(file.path, file.size) for file in outcome.files] == [("left", 100_000)]
    assert not outcome.files_truncated
    # That of children that it has waited for is its own.
    assert outcome.usage.cpu_seconds is not None
    assert outcome.usage.cpu_seconds > 0.02


async def test_a_given_file_that_was_changed_comes_back(sandbox: PooledDockerSandbox) -> None:
    await warm(sandbox, 1)
    files = (InputFile(path="given.txt", content="one"), InputFile(path="other.txt", content="same"))
    job = make_job("python", "open('given.txt', 'w').write('two')\nNone", files=files)
    outcome = await (await begin(sandbox, job, Recorder())).wait()
    assert [(file.path, file.content) for file in outcome.files] == [("given.txt", b"two")]


async def test_a_program_that_lasts_gives_way_to_those_that_begin(sandbox: PooledDockerSandbox) -> None:
    await warm(sandbox, 1)
    prepared = await sandbox.prepare(make_job("python", "import time\ntime.sleep(60)"))
    engine = DockerEngine()
    place = processor_group(await engine.first_process(container_of(prepared).container_id))
    await engine.close()
    assert place is not None
    (shares,) = [path for name in ("cpu.shares", "cpu.weight") if (path := place / name).exists()]
    usual = int(shares.read_text())
    running = await sandbox.start(prepared, Recorder())
    await until(lambda: int(shares.read_text()) <= usual // 16, "the program gives way")
    await running.cancel()


async def test_many_in_a_row_leave_nothing_behind(sandbox: PooledDockerSandbox) -> None:
    await warm(sandbox)
    descriptors = len(os.listdir("/proc/self/fd"))
    holders = sandbox.networks_held()
    for number in range(0, 24, 4):
        # `python -m benchmarks endurance` does thousands.
        jobs = (run(sandbox, "python", f"open('x', 'w').write('x')\n{number + n}") for n in range(4))
        outcomes = await asyncio.gather(*jobs)
        assert [int(outcome.result_json or b"-1") for outcome in outcomes] == [number + n for n in range(4)]
    await until(lambda: sandbox.report().ready <= 4, "the pool shrinks")
    await sandbox.until_idle()
    report = sandbox.report()
    assert report.taken == 0
    # A container that waits holds its socket and its process; nothing else may have been added.
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 6 * 4
    assert sandbox.networks_held() <= holders + 4
    engine = DockerEngine()
    left = await engine.labelled("hitl.sandbox.instance", INSTANCE, "none")
    await engine.close()
    assert len(left) == report.ready + sandbox.networks_held()


async def test_closing_leaves_no_container_process_or_directory(docker_image: str) -> None:
    del docker_image
    instance = INSTANCE + "-closed"
    engine = DockerEngine()
    sandbox = PooledDockerSandbox(engine, DockerSandbox(engine, instance=instance), PoolSettings())
    await sandbox.remove_leftovers()
    await warm(sandbox)
    before = len(_directories())
    await run(sandbox, "bash", "true")
    await sandbox.close()
    other = DockerEngine()
    assert await other.labelled("hitl.sandbox.instance", instance, "none") == []
    await other.close()
    assert len(_directories()) == before - 1


async def test_an_engine_that_makes_no_warm_container_still_serves_cold_ones(
    docker_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del docker_image
    # As when the engine is elsewhere: the directory is not one that it can see.
    monkeypatch.setattr("executor_mcp.sandbox.pool.launching._INSIDE", "not/absolute")
    engine = DockerEngine()
    sandbox = PooledDockerSandbox(engine, DockerSandbox(engine, instance=INSTANCE), PoolSettings())
    try:
        outcome = await run(sandbox, "python", "6 * 7")
        assert outcome.result_json == b"42"
        assert sandbox.report().served_cold == 1
        assert sandbox.report().problem is not None
    finally:
        await sandbox.close()


async def test_cancel_ends_the_program_and_gives_its_container_up(sandbox: PooledDockerSandbox) -> None:
    await warm(sandbox)
    sink = Recorder()
    prepared = await sandbox.prepare(make_job("bash", "echo up; sleep 600", wall_seconds=600))
    running = await sandbox.start(prepared, sink)
    await asyncio.wait_for(sink.first.wait(), 20)
    await running.cancel()
    assert not container_of(prepared).is_alive
    assert (await running.wait()).termination == "cancelled"
    process = container_of(prepared)._process  # pyright: ignore[reportPrivateUsage]
    assert process is not None
    await until(lambda: process.has_ended, "process 1 ends")


def _directories() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"hitl-pool-*_{os.getpid()}_*"))
