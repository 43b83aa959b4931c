"""What a program must not reach, whatever it tries."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

import pytest

from executor_mcp.sandbox.base import Sandbox
from tests.sandbox.conftest import REPOSITORY
from tests.sandbox.support import Recorder, begin, make_job, processes_with, result_of, run, until

# They share one sandbox, which belongs to one event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

NETWORK = """
import socket
def attempt(action):
    try:
        return repr(action())
    except OSError as error:
        return "refused"
def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        s.connect(address)
def send(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        return s.sendto(b"x", address)
{
    "tcp": attempt(lambda: connect(socket.AF_INET, ("192.0.2.1", 80))),
    "tcp6": attempt(lambda: connect(socket.AF_INET6, ("2001:db8::1", 80))),
    "udp": attempt(lambda: send(("192.0.2.1", 53))),
    "dns": attempt(lambda: socket.getaddrinfo("example.com", 80)),
    "metadata": attempt(lambda: connect(socket.AF_INET, ("169.254.169.254", 80))),
    "host": attempt(lambda: connect(socket.AF_INET, ("127.0.0.1", input_data))),
    "interfaces": [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line],
    "abstract": attempt(lambda: connect(socket.AF_UNIX, "\\0hitl-tests")),
}
"""

SYSTEM_CALLS = """
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    answer = libc.syscall(number, *arguments)
    return "allowed" if answer >= 0 else "refused"
def make_socket(*arguments):
    try:
        socket.socket(*arguments).close()
        return "allowed"
    except OSError:
        return "refused"
def attempt(action):
    try:
        action()
        return "allowed"
    except OSError:
        return "refused"
import platform
arm = platform.machine() == "aarch64"
def number(x86, generic):
    return generic if arm else x86
buffer = ctypes.create_string_buffer(256)
{
    "mount": "allowed" if libc.mount(b"none", b"/tmp/work", b"tmpfs", 0, None) == 0 else "refused",
    "umount": call(number(166, 39), b"/proc", 2),
    "pivot_root": call(number(155, 41), b"/tmp", b"/tmp"),
    "chroot": attempt(lambda: os.chroot("/tmp")),
    "unshare_user": call(number(272, 97), 0x10000000),
    "unshare_net": call(number(272, 97), 0x40000000),
    "unshare_mount": call(number(272, 97), 0x00020000),
    "setns": call(number(308, 268), os.open("/proc/self/ns/net", os.O_RDONLY), 0),
    "ptrace": call(number(101, 117), 16, 1, 0, 0),
    "process_vm_readv": call(number(310, 270), 1, buffer, 1, buffer, 1, 0),
    "pidfd_getfd": call(438, os.open("/dev/null", os.O_RDONLY), 0, 0),
    "io_uring": call(425, 8, buffer),
    "bpf": call(number(321, 280), 0, buffer, 64),
    "keyctl": call(number(250, 219), 0, -3, 1),
    "add_key": call(number(248, 217), b"user", b"k", b"v", 1, -3),
    "perf_event_open": call(number(298, 241), buffer, 0, -1, -1, 0),
    "userfaultfd": call(number(323, 282), 0),
    "memfd_secret": call(447, 0),
    "kexec_load": call(number(246, 104), 0, 0, 0, 0),
    "init_module": call(number(175, 105), buffer, 8, b""),
    "open_by_handle_at": call(number(304, 265), -100, buffer, 0),
    "name_to_handle_at": call(number(303, 264), -100, b"/", buffer, buffer, 0),
    "quotactl": call(number(179, 60), 0, 0, 0, 0),
    "swapon": call(number(167, 224), b"/tmp", 0),
    "sethostname": call(number(170, 161), b"x", 1),
    "settimeofday": call(number(164, 170), buffer, 0),
    "reboot": call(number(169, 142), 0xfee1dead, 672274793, 0, 0),
    "setuid_root": attempt(lambda: os.setuid(0)),
    "device": attempt(lambda: os.mknod("/tmp/work/null", 0o20666, os.makedev(1, 3))),
    "vsock": make_socket(40, socket.SOCK_STREAM),
    "packet": make_socket(17, socket.SOCK_RAW, 3),
    "raw": make_socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "netfilter": make_socket(16, socket.SOCK_RAW, 12),
    "audit_netlink": make_socket(16, socket.SOCK_RAW, 9),
    "route_netlink": make_socket(16, socket.SOCK_RAW, 0),
    "sctp": make_socket(socket.AF_INET, socket.SOCK_SEQPACKET, 0),
    "dccp": make_socket(socket.AF_INET, 6, 0),
    "multipath_tcp": make_socket(socket.AF_INET, socket.SOCK_STREAM, 262),
    "tls_over_tcp": attempt(lambda: socket.socket().setsockopt(6, 31, b"tls")),
    "tls_by_high_bits": call(number(54, 208), socket.socket().fileno(), 6, (1 << 32) + 31, b"tls", 3),
    "packet_filter": attempt(lambda: socket.socket().setsockopt(1, 26, bytes(16))),
    "modify_ldt": call(154, 0, buffer, 16) if not arm else "refused",
    "alg": make_socket(38, socket.SOCK_SEQPACKET),
    "bluetooth": make_socket(31, socket.SOCK_RAW, 1),
}
"""

PROCESS_FILES = """
import os
def attempt(action):
    try:
        return repr(action())[:200]
    except OSError:
        return "refused"
def read(path):
    with open(path, "rb") as file:
        return file.read(64)
def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return "written"
{
    "environ": attempt(lambda: read("/proc/1/environ")),
    "maps": attempt(lambda: read("/proc/1/maps") or 1 / 1 and "refused"),
    "memory": attempt(lambda: os.open("/proc/1/mem", os.O_RDWR)),
    "descriptors": attempt(lambda: os.listdir("/proc/1/fd")),
    "report": attempt(lambda: os.open("/proc/1/fd/1", os.O_WRONLY)),
    "control": attempt(lambda: os.open("/proc/1/fd/0", os.O_RDONLY)),
    "root": attempt(lambda: os.listdir("/proc/1/root/")),
    "core_pattern": attempt(lambda: write("/proc/sys/kernel/core_pattern", "|/tmp/x")),
    "sysrq": attempt(lambda: write("/proc/sysrq-trigger", "h")),
    "kcore": attempt(lambda: read("/proc/kcore") or 1 / 1 and "refused"),
    "hostname": attempt(lambda: write("/proc/sys/kernel/hostname", "x")),
}
"""


async def test_nothing_of_a_network_is_there(sandbox: Sandbox) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    abstract = await asyncio.start_unix_server(lambda reader, writer: writer.close(), "\0hitl-tests")
    async with server, abstract:
        port = server.sockets[0].getsockname()[1]
        found = result_of(await run(sandbox, "python", NETWORK, input_data=port))
    interfaces = found.pop("interfaces")
    assert set(found.values()) == {"refused"}, found
    assert set(interfaces) <= {"lo"}


async def test_a_program_can_talk_to_itself_over_its_own_loopback(sandbox: Sandbox) -> None:
    code = """
import socket
server = socket.create_server(("localhost", 0))
with socket.create_connection(("localhost", server.getsockname()[1]), 5) as client:
    client.sendall(b"to itself")
    answer = server.accept()[0].recv(9).decode()
answer
"""
    assert result_of(await run(sandbox, "python", code)) == "to itself"


async def test_system_calls_that_no_program_needs_are_refused(sandbox: Sandbox) -> None:
    outcome = await run(sandbox, "python", SYSTEM_CALLS)
    allowed = {name for name, answer in result_of(outcome).items() if answer != "refused"}
    assert allowed == set()


async def test_the_supervisor_and_the_kernels_switches_are_out_of_reach(sandbox: Sandbox) -> None:
    found = result_of(await run(sandbox, "python", PROCESS_FILES))
    if sandbox.name == "gvisor":
        # Its /proc shows the supervisor to a program of the same user; nothing of the host is behind it.
        for name in ("core_pattern", "sysrq", "kcore", "hostname", "memory"):
            assert found[name] == "refused", (name, found)
        return
    assert {name for name, answer in found.items() if answer not in ("refused", "'refused'")} == set(), found


async def test_process_1_cannot_be_killed_stopped_or_traced_and_still_reports(sandbox: Sandbox) -> None:
    code = "for s in INT TERM USR1 CHLD HUP STOP KILL; do kill -$s 1; done; echo still here; exit 4"
    outcome = await run(sandbox, "bash", code)
    if sandbox.name == "gvisor":
        # Its process 1 can be killed from within: the sandbox then ends with the program, and says no more.
        assert outcome.termination == "sandbox_failed"
        return
    assert (outcome.exit_code, outcome.stdout) == (4, b"still here\n")


async def test_limits_and_priority_of_the_supervisor_are_not_the_programs_to_set(sandbox: Sandbox) -> None:
    code = """
import os, resource
def attempt(action):
    try:
        action()
        return "allowed"
    except OSError:
        return "refused"
own = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, own)
os.nice(1)
{
    "limits": attempt(lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))),
    "priority": attempt(lambda: os.setpriority(os.PRIO_PROCESS, 1, 19)),
    "priorities": attempt(lambda: os.setpriority(os.PRIO_USER, 0, 19)),
}
"""
    assert set(result_of(await run(sandbox, "python", code)).values()) == {"refused"}


async def test_nothing_but_the_work_area_can_be_written(sandbox: Sandbox) -> None:
    code = """
import os
writable = []
for folder, folders, _ in os.walk("/"):
    if folder in ("/proc", "/sys"):
        folders.clear()
        continue
    path = folder + "/.probe"
    try:
        open(path, "w").close()
        os.remove(path)
        writable.append(folder)
        folders.clear()
    except OSError:
        pass
writable
"""
    outcome = await run(sandbox, "python", code)
    assert set(result_of(outcome)) <= {"/tmp", "/dev/shm"}


async def test_files_of_the_host_and_its_engine_are_not_there(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = secrets.token_hex(16)
    hidden = tmp_path / "secret.txt"
    hidden.write_text(secret)
    places = [str(hidden), "/root", "/home", "/etc/shadow", "/var/run/docker.sock", str(REPOSITORY)]
    code = """
import os
def look(path):
    try:
        return os.listdir(path) if os.path.isdir(path) else open(path, errors="replace").read()
    except OSError:
        return None
{path: look(path) for path in input_data}
"""
    found = result_of(await run(sandbox, "python", code, input_data=places))
    assert not any(found.values()), found


async def test_the_environment_has_nothing_of_the_servers(sandbox: Sandbox) -> None:
    os.environ["HITL_TEST_SECRET"] = "do-not-tell"
    try:
        outcome = await run(sandbox, "bash", "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null")
    finally:
        del os.environ["HITL_TEST_SECRET"]
    assert b"do-not-tell" not in outcome.stdout
    assert b"DATABASE" not in outcome.stdout


async def test_there_is_no_privilege_to_be_had(sandbox: Sandbox) -> None:
    code = """
grep -E '^(CapEff|CapPrm|CapInh|CapAmb)' /proc/self/status | grep -v ' 0*$' | grep -v '\t0*$'
id -u
cp /bin/sh ./sh && chmod 4755 ./sh && ./sh -c 'echo ran' 2>/dev/null
find / -xdev -perm /6000 -type f 2>/dev/null | while read -r f; do "$f" --version >/dev/null 2>&1; done
su -c id 2>/dev/null; mount -t tmpfs none /tmp/work 2>/dev/null; unshare -U id 2>/dev/null
id -u
"""
    outcome = await run(sandbox, "bash", code, wall_seconds=20)
    lines = outcome.stdout.decode().split()
    assert len(lines) == 2, lines
    assert lines[0] == lines[1] != "0"


async def test_processes_of_other_runs_and_of_the_host_are_not_seen(sandbox: Sandbox) -> None:
    marker = f"8{secrets.randbelow(10**9):09}"
    sink = Recorder()
    other = await begin(sandbox, make_job("bash", f"echo up; exec sleep {marker}"), sink)
    await asyncio.wait_for(sink.first.wait(), 20)
    outcome = await run(sandbox, "bash", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; kill -9 -1; sleep 0.1")
    assert marker.encode() not in outcome.stdout
    await other.cancel()
    assert (await other.wait()).termination == "cancelled"


async def test_background_processes_die_with_the_program(sandbox: Sandbox) -> None:
    marker = f"7{secrets.randbelow(10**9):09}"
    code = f"""
import os, subprocess
for n in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "{marker}"])
        os._exit(0)
subprocess.Popen(["sh", "-c", "trap '' TERM HUP; sleep {marker}"], start_new_session=True)
print("left")
"""
    outcome = await run(sandbox, "python", code, wall_seconds=20)
    assert (outcome.termination, outcome.stdout) == ("exited", b"left\n")
    assert outcome.usage.wall_seconds < 10
    assert processes_with(marker) == []


async def test_nothing_is_alive_after_cancel(sandbox: Sandbox) -> None:
    marker = f"6{secrets.randbelow(10**9):09}"
    sink = Recorder()
    code = f"for n in 1 2 3; do setsid sleep {marker} & done; echo up; sleep {marker}"
    running = await begin(sandbox, make_job("bash", code), sink)
    await asyncio.wait_for(sink.first.wait(), 20)
    if sandbox.name != "gvisor":
        await until(lambda: len(processes_with(marker)) >= 4, "the program's processes appear on the host")
    await running.cancel()
    assert processes_with(marker) == []
