"""One execution in a burst container: namespaces of its own, a supervisor as their process 1, and the
interpreter. Part of the burst supervisor's source.

Everything below happens in a process that was forked for this execution, before it has seen the program:

1. It joins its control groups, and makes a new mount, IPC, host name, control group and network namespace
   (a new process namespace it has from its birth).
2. It mounts its own /proc, masked, and its own /tmp and /dev/shm, bounded.
3. It becomes a user of its own that no other live execution of the container has, in a user namespace that
   owns none of the namespaces above.
4. It gives up every capability, becomes undumpable, and takes the filter that every sandbox has.
5. Only then it says READY and may be handed a program; what follows is what a warm container's supervisor
   does.
"""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import signal
import socket
import struct
import sys
import types
from typing import Any, NamedTuple, NoReturn

from burst_kernel import (
    NEW_GROUPS,
    NEW_IPC,
    NEW_MOUNTS,
    NEW_NAMES,
    NEW_NETWORK,
    NEW_USERS,
    PLAIN,
    Kernel,
)
from burst_outer import NOTHING, write
from sandbox_languages import INTERPRETERS
from supervisor_parts import (
    RESULT_DESCRIPTOR,
    ROOT,
    WORK,
    Child,
    ControlGroup,
    Dumpability,
    find_interpreter,
    lay_out,
)
from supervisor_wire import FAILED, READY, Report, let_go, receive_job, receive_outputs
from warm_child import (
    PRELOADED,
    WarmChild,
    execute,
    load_driver,
    preflight,
)
from warm_handover import Account, Farewell
from warm_supervisor import supervise

SANDBOX_USER = 1000
SHARED_MEMORY = "size=1048576,nr_inodes=256"
_MASKED = ("acpi", "asound", "bus", "driver", "fs", "irq", "scsi")
_MASKED_FILES = (
    "interrupts", "kcore", "keys", "key-users", "kmsg", "kallsyms", "latency_stats", "modules", "sched_debug",
    "slabinfo", "sysrq-trigger", "timer_list", "vmallocinfo",
)  # fmt: skip
_SET_INTERFACE_FLAGS = 0x8914
_LOOPBACK_UP = struct.pack("16sh14x", b"lo", 0x41)
_ANY_HIGH_DESCRIPTOR = 100


class Preloaded:
    """What is loaded once and shared, unwritten, by all executions: no job was ever in this memory."""

    def __init__(self, drivers: dict[str, str | bytes], instructions: bytes) -> None:
        self.kernel = Kernel()
        self.dumpability = Dumpability()
        # Tells nothing here, where /sys is empty: the host asks an execution's groups itself.
        self.control_group = ControlGroup()
        self.instructions = instructions
        self.interpreters = [name for name in INTERPRETERS if find_interpreter(name) is not None]
        self.masks = [(NOTHING, path.encode()) for name in _MASKED if os.path.isdir(path := f"/proc/{name}")]
        self.masks += [
            (b"/dev/null", path.encode()) for name in _MASKED_FILES if os.path.exists(path := f"/proc/{name}")
        ]
        for name in PRELOADED:
            __import__(name)
        self.drivers = {path: load_driver(path, source) for path, source in drivers.items()}
        for path, driver in self.drivers.items():
            preflight(driver, path)
        self.modules = frozenset(sys.modules)
        gc.collect()
        gc.freeze()


class BurstChild(WarmChild):
    """The program's process, forked when the program has come instead of before."""

    def __init__(
        self, preloaded: Preloaded, out_of_memory_score: int, start: int, writers: list[int]
    ) -> None:
        Child.__init__(self, out_of_memory_score)
        self._start = start
        self._writers = writers
        self._dumpability = preloaded.dumpability
        self._drivers: dict[str, types.ModuleType] = preloaded.drivers
        self._loaded = preloaded.modules
        self.farewell = Farewell()
        self.result, self._result_writer = os.pipe()
        os.set_blocking(self.result, False)

    def begin(self, control: int, report: Report) -> Account:
        del report
        job = receive_job(control)
        os.makedirs(WORK, 0o755, exist_ok=True)
        given = lay_out(job)
        let_go(self._start)
        self.prefer_as_victim(1000)
        self.process = os.fork()
        if self.process == 0:
            self._become(job)
        self.prefer_as_victim(0)
        for writer in (self._result_writer, *self._writers):
            os.close(writer)
        return Account(Account.of(job, given))

    def _become(self, order: dict[str, Any]) -> NoReturn:
        try:
            os.setsid()
            high = [
                fcntl.fcntl(each, fcntl.F_DUPFD, 2 * _ANY_HIGH_DESCRIPTOR)
                for each in (*self._writers, self._result_writer)
            ]
            for target, descriptor in zip((1, 2, RESULT_DESCRIPTOR), high):  # noqa: B905 - 3.9 may run this
                os.dup2(descriptor, target)
            os.closerange(RESULT_DESCRIPTOR + 1, 1024)
            os.umask(0o022)
            os.chdir(WORK)
            for number, value in order["resource_limits"]:
                resource.setrlimit(number, (value, value))
            # The program is its own: it may look at itself, as any process may.
            self._dumpability.set(True)
            driver = self._drivers.get(order["driver_path"])
            if driver is None:
                execute(order)
            # Its state is the same in all that are forked from here.
            sys.modules["random"].seed()
        except BaseException as error:
            os.write(2, f"the interpreter could not be started: {error}\n".encode())
            os._exit(127)
        self._run(driver, order)


class Birth(NamedTuple):
    """What an execution is born with; `room` are the mount options that bound its files."""

    user: int
    room: str
    control: int
    groups: list[int]


def live(preloaded: Preloaded, birth: Birth) -> None:
    """The whole life of one execution. Only the program's own process leaves this, by SystemExit."""
    report = Report(birth.control)
    try:
        out_of_memory_score = _confine(preloaded, birth)
        control = fcntl.fcntl(birth.control, fcntl.F_DUPFD, _ANY_HIGH_DESCRIPTOR)
        report = Report(control)
        out_of_memory_score = fcntl.fcntl(out_of_memory_score, fcntl.F_DUPFD, control + 1)
        os.closerange(3, control)
        os.closerange(control + 1, out_of_memory_score)
        os.closerange(out_of_memory_score + 1, 1024)
        report.send_json(READY, preloaded.interpreters)
        writers, readers, start = receive_outputs(control)
        child = BurstChild(preloaded, out_of_memory_score, start, writers)
        supervise(child, preloaded.control_group, report, control, readers)
        # The host reads at its own pace, and then closes its end.
        while os.read(control, 1):
            pass
    except Exception as error:
        report.send(FAILED, f"{type(error).__name__}: {error}".encode()[:2000])
        os._exit(1)
    os._exit(0)


def _confine(preloaded: Preloaded, birth: Birth) -> int:
    """Steps 1 to 4; returns the descriptor by which the kernel's choice of a victim is told."""
    kernel, user = preloaded.kernel, birth.user
    for group in birth.groups:  # 1
        os.write(group, b"0")
    kernel.unshare(NEW_MOUNTS | NEW_IPC | NEW_NAMES | NEW_GROUPS | NEW_NETWORK)
    socket.sethostname("sandbox")
    _bring_up_loopback()
    kernel.mount(b"proc", b"/proc", b"proc", PLAIN)  # 2
    kernel.bind(b"/proc/sys", b"/proc/sys")
    kernel.make_read_only(b"/proc/sys", PLAIN)
    for source, target in preloaded.masks:
        kernel.bind(source, target)
    owner = f"mode=0755,uid={user},gid={user},"
    kernel.mount(b"tmpfs", ROOT.encode(), b"tmpfs", PLAIN, (owner + birth.room).encode())
    kernel.mount(b"tmpfs", b"/dev/shm", b"tmpfs", PLAIN, (owner + SHARED_MEMORY).encode())
    os.setgroups([])  # 3
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    kernel.unshare(NEW_USERS)
    preloaded.dumpability.set(True)
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{SANDBOX_USER} {user} 1")
    write("/proc/self/gid_map", f"{SANDBOX_USER} {user} 1")
    # Opened now: an undumpable process may not open its own files under /proc.
    out_of_memory_score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    preloaded.dumpability.set(False)  # 4
    kernel.give_up_capabilities()
    kernel.filter_calls(preloaded.instructions)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir("/")
    return out_of_memory_score


def _bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_INTERFACE_FLAGS, _LOOPBACK_UP)
