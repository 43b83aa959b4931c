"""Process 1 of a warm sandbox: has an interpreter waiting, hands it one program, and reports what it did.

`supervisor.py` does the same for a sandbox that is started for its program; the two share their parts. The
host listens on a socket in a directory that only this sandbox sees, and takes its name away once this side
has connected. Standard library only.

1. It refuses to run as anything but process 1: it kills every process it can see.
2. It makes itself undumpable: a program of the same user then cannot open its memory, environment or pipes.
3. The program's standard output and error are pipes that the host sent; the program can write there what it
   likes, and nothing of it can pass for a frame. Beyond the bound this side reads and drops, on the sandbox's
   share of the processor and not the host's.
4. BEGUN is in the host's hands before the program is let go: a sandbox that ended without it ran nothing.
5. When the child ends, or at STOP, it kills and reaps everything else, and only then looks at the files.
6. Last it says whether the network namespace, which outlives it, is still as it was found.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys

from sandbox_languages import INTERPRETERS
from supervisor_files import FEW_FILES, CheckpointLook, Collector
from supervisor_parts import (
    INPUT,
    WORK,
    ControlGroup,
    Dumpability,
    Output,
    find_interpreter,
    lay_out,
)
from supervisor_wire import (
    BEGUN,
    DRAIN,
    END,
    EXITED,
    FAILED,
    FRAME_BYTES,
    JOB,
    LOOK,
    NETWORK,
    READY,
    RESULT,
    Report,
    read_exactly,
    receive,
)
from warm_child import WarmChild
from warm_drivers import DRIVERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Takes longer to load than most programs run.
    from typing import Any

COUNTERS = ("dev", "snmp", "netstat", "snmp6")
HEADER = struct.Struct(">BI")


class Drain:
    """A pipe of the program's whose bound is reached: read and dropped from then on."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.asked = False
        self.dropped = 0
        self._buffer = bytearray(FRAME_BYTES)

    def take(self) -> bool:
        """Reads once; False at the end of the pipe."""
        size = os.readv(self.descriptor, [self._buffer])
        self.dropped += size
        return size > 0


def network_counters() -> list[bytes]:
    """What the network namespace remembers of everything that was ever sent in it."""
    counters: list[bytes] = []
    for name in COUNTERS:
        with contextlib.suppress(OSError), open(f"/proc/net/{name}", "rb") as file:
            counters.append(file.read())
    return counters


def receive_job(control: int) -> tuple[dict[str, Any], list[int]]:
    """The job, and the descriptors that came with it: both pipes' writers, then their readers."""
    connection = socket.socket(fileno=control)
    # What comes with descriptors is read alone, so that nothing of a later frame is in it.
    received, descriptors, _, _ = socket.recv_fds(connection, FRAME_BYTES, 4)
    connection.detach()
    if not received:
        os._exit(0)
    received += read_exactly(control, max(0, HEADER.size - len(received)))
    kind, length = HEADER.unpack_from(received)
    missing = HEADER.size + length - len(received)
    if kind != JOB or len(descriptors) != 4 or missing < 0:
        raise ValueError("the first frame is a job with four descriptors")
    return json.loads(received[HEADER.size :] + read_exactly(control, missing)), list(descriptors)


def run(child: WarmChild, result: Output, drains: list[Drain], report: Report, control: int) -> bool:
    """Waits until the program ends or the host says stop; True when the host stopped it."""
    poll = select.poll()
    process = os.pidfd_open(child.process)
    by_descriptor = {drain.descriptor: drain for drain in drains}
    checkpoint = CheckpointLook(WORK)
    for descriptor in (process, control, result.descriptor):
        poll.register(descriptor, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == process:
                child.reap()
                return False
            if descriptor == control:
                kind, payload = receive(control)
                if kind == LOOK:
                    checkpoint.send(report)
                    continue
                if kind != DRAIN:
                    return True
                drain = drains[payload[0]]
                drain.asked = True
                poll.register(drain.descriptor, select.POLLIN)
            elif descriptor == result.descriptor:
                if not result.take(report):
                    poll.unregister(descriptor)
            elif not by_descriptor[descriptor].take():
                poll.unregister(descriptor)


def exit_report(
    child: WarmChild, control_group: ControlGroup, stopped: bool, result: Output, drains: list[Drain]
) -> dict[str, Any]:
    kills, peak = control_group.facts()
    status = child.status if child.status is not None else 0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "stopped": stopped,
        "memory_exceeded": False,
        "processes_exceeded": False,
        "memory_kills": kills,
        "peak_memory_bytes": peak or usage.ru_maxrss * 1024,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "stdout_bytes": drains[0].dropped,
        "stderr_bytes": drains[1].dropped,
        "drained": [drain.asked for drain in drains],
        "result_bytes": result.total,
    }


def finish(report: Report, exited: dict[str, Any], given: dict[str, bytes], bounds: dict[str, int]) -> None:
    """How the program ended and what it left, in one piece unless looking takes long."""
    report.hold_json(EXITED, exited)
    collector = Collector(report, WORK, given, bounds)
    collector.collect()
    report.hold_json(END, {"files_truncated": collector.truncated})
    report.flush()


def rehearse(child: WarmChild, control_group: ControlGroup, nothing: int) -> None:
    """Goes the way of a job without a program, while nobody waits: the first time takes twice as long, most
    of it for memory that this process and its child still share.
    """
    name = ".rehearsal"
    job = {"files": [[name, ""]], "driver": None, "certificates": None, "input_json": "null"}
    given = lay_out(json.loads(json.dumps(job)))
    result, drains = Output(RESULT, nothing, 0), [Drain(nothing), Drain(nothing)]
    bounds = {"files": 0, "bytes": 0, "entries": FEW_FILES, "depth": 0}
    finish(Report(nothing), exit_report(child, control_group, False, result, drains), given, bounds)
    os.unlink(WORK + "/" + name)
    os.unlink(INPUT)


def supervise(child: WarmChild, control_group: ControlGroup, report: Report, control: int) -> None:
    job, descriptors = receive_job(control)
    given = lay_out(job)
    writers, readers = descriptors[:2], descriptors[2:]
    result = Output(RESULT, child.result, job["result_bytes"])
    drains = [Drain(reader) for reader in readers]
    names = ("interpreter", "arguments", "environment", "driver_path", "resource_limits")
    report.send(BEGUN)
    child.order({name: job[name] for name in names}, writers)
    for writer in writers:
        os.close(writer)
    stopped = run(child, result, drains, report, control)
    child.kill_everything()
    for drain in drains:
        while drain.asked and drain.take():
            pass
    while result.take(report):
        pass
    exited = exit_report(child, control_group, stopped, result, drains)
    finish(report, exited, given, job["file_bounds"])


def main() -> None:
    if os.getpid() != 1:
        sys.exit("the supervisor runs only as process 1 of a sandbox")
    # Python's own handler would raise here; without any, the kernel keeps the signal from process 1.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    # A number from here on: an object would close it once more when the child ends.
    control = connection.detach()
    report = Report(control)
    nothing = os.open("/dev/null", os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    try:
        # Opened first: an undumpable process may not open its own files under /proc.
        out_of_memory_score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        counters = network_counters()
        control_group = ControlGroup()
        dumpability = Dumpability()
        dumpability.set(False)
        child = WarmChild(out_of_memory_score, dumpability, DRIVERS)
        report.send_json(READY, [name for name in INTERPRETERS if find_interpreter(name) is not None])
        rehearse(child, control_group, nothing)
        supervise(child, control_group, report, control)
        report.send_json(NETWORK, network_counters() == counters)
    except Exception as error:
        report.send(FAILED, f"{type(error).__name__}: {error}".encode()[:2000])
    # The host reads at its own pace, and then ends this process.
    while os.read(control, 1):
        pass
