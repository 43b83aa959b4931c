"""Process 1 of a warm sandbox: has an interpreter waiting, hands it one program, and reports what it did.

`supervisor.py` does the same for a sandbox that is started for its program; the two share their parts. The
host listens on a socket in a directory that only this sandbox sees, and takes its name away once this side
has connected. Standard library only.

1. It refuses to run as anything but process 1: it kills every process it can see.
2. It makes itself undumpable: a program of the same user then cannot open its memory, environment or pipes.
3. The program's standard output and error are pipes that the host sent; the program can write there what it
   likes, and nothing of it can pass for a frame. Beyond the bound this side reads and drops, on the sandbox's
   share of the processor and not the host's.
4. A byte is in the host's hands before the program is let go: a sandbox that ended without it ran nothing.
5. When the child ends, or at STOP, it kills and reaps everything else, and only then looks at the files.
   A child that has said farewell and closed its pipes is killed with everything else, after which no
   instruction of the program runs; it is waited for only when the program has left files.
6. Last it says whether the network namespace, which outlives it, is still as it was found.
"""

from __future__ import annotations

import os
import resource
import select
import sys
import time

from sandbox_languages import INTERPRETERS
from supervisor_files import FEW_FILES, CheckpointLook, Collector
from supervisor_parts import WORK, ControlGroup, Dumpability, Output, find_interpreter
from supervisor_quick import signal, socket
from supervisor_wire import (
    DRAIN,
    END,
    EXITED,
    FAILED,
    FRAME_BYTES,
    LOOK,
    NETWORK,
    READY,
    RESULT,
    Report,
    receive,
    receive_outputs,
)
from warm_child import WarmChild
from warm_drivers import DRIVERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Takes longer to load than most programs run.
    from typing import Any

COUNTERS = ("dev", "snmp", "netstat", "snmp6")
ENDED, STOPPED, SAID_FAREWELL = range(3)


class Drain:
    """A pipe of the program's whose bound is reached: read and dropped from then on."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.asked = False
        self.dropped = 0
        self._buffer = bytearray()

    def take(self) -> bool:
        """Reads once; False at the end of the pipe."""
        # Made when it is needed: most programs never reach their bound.
        self._buffer = self._buffer or bytearray(FRAME_BYTES)
        size = os.readv(self.descriptor, [self._buffer])
        self.dropped += size
        return size > 0


def network_counters() -> list[bytes]:
    """What the network namespace remembers of everything that was ever sent in it."""
    counters: list[bytes] = []
    for name in COUNTERS:
        try:
            with open(f"/proc/net/{name}", "rb") as file:
                counters.append(file.read())
        except OSError:
            continue
    return counters


class Processor:
    """Processor time of a program: not its supervisor's, and not that of what was before it."""

    def __init__(self, control_group: ControlGroup, process: int) -> None:
        self._control_group = control_group
        # The kernel's name for the clock of a process, as of clock_getcpuclockid(3).
        self._clock = ~process << 3 | 2
        self._all = control_group.processor_seconds()
        self._own = time.process_time()
        self._main = self._of_main()

    @property
    def is_told(self) -> bool:
        """Also of children that were not waited for."""
        return self._all is not None

    def seconds(self) -> float | None:
        """None where it is known of children alone that were waited for."""
        total = self._control_group.processor_seconds()
        if total is None or self._all is None:
            return None
        used = total - self._all - (time.process_time() - self._own)
        # Of what runs right now a control group hears a little later.
        return max(used, self._of_main() - self._main, 0.0)

    def _of_main(self) -> float:
        try:
            return time.clock_gettime(self._clock)
        except OSError:
            return 0.0


class Ending:
    """How a program came to its end, and what is told of it."""

    def __init__(
        self,
        child: WarmChild,
        control_group: ControlGroup,
        processor: Processor,
        result: Output,
        drains: list[Drain],
    ) -> None:
        self.kind = ENDED
        self._child = child
        self._control_group = control_group
        self._processor = processor
        self._result = result
        self._drains = drains

    def report(self) -> dict[str, Any]:
        kills, peak = self._control_group.facts()
        seconds = self._processor.seconds()
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            **self._status(),
            "stopped": self.kind == STOPPED,
            "memory_exceeded": False,
            "processes_exceeded": False,
            "memory_kills": kills,
            "peak_memory_bytes": peak or usage.ru_maxrss * 1024,
            "cpu_seconds": usage.ru_utime + usage.ru_stime if seconds is None else seconds,
            "stdout_bytes": self._drains[0].dropped,
            "stderr_bytes": self._drains[1].dropped,
            "result_bytes": self._result.total,
        }

    def _status(self) -> dict[str, int | None]:
        if self.kind == SAID_FAREWELL:
            return {"exit_code": self._child.farewell.status, "signal": None}
        status = self._child.status if self._child.status is not None else 0
        return {
            "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        }

    def can_be_told_at_once(self, collector: Collector) -> bool:
        """Before what is dead has been taken apart: nothing that is to be told depends on it."""
        return self.kind == SAID_FAREWELL and self._processor.is_told and collector.finds_nothing()


def run(child: WarmChild, result: Output, drains: list[Drain], report: Report, control: int) -> int:
    """Waits until the program ends or the host says stop."""
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
                return ENDED
            if descriptor == control:
                kind, payload = receive(control)
                if kind == LOOK:
                    checkpoint.send(report)
                    continue
                if kind != DRAIN:
                    return STOPPED
                drain = drains[payload[0]]
                drain.asked = True
                poll.register(drain.descriptor, select.POLLIN)
            elif descriptor == result.descriptor:
                if not result.take(report):
                    if child.farewell.status is not None:
                        return SAID_FAREWELL
                    poll.unregister(descriptor)
            elif not by_descriptor[descriptor].take():
                poll.unregister(descriptor)


def finish(report: Report, child: WarmChild, ending: Ending, collector: Collector) -> None:
    """How the program ended and what it left, in one piece unless looking takes long."""
    at_once = ending.can_be_told_at_once(collector)
    if not at_once:
        child.kill_everything()
    report.hold_json(EXITED, ending.report())
    if not at_once:
        collector.collect()
    report.hold_json(END, {"files_truncated": collector.truncated})
    report.flush()


def rehearse(child: WarmChild, control_group: ControlGroup, nothing: int) -> None:
    """Goes the way to the end without a program, while nobody waits: the first time takes twice as long, most
    of it for memory that this process and its child still share.
    """
    result, drains = Output(RESULT, nothing, 0), [Drain(nothing), Drain(nothing)]
    ending = Ending(child, control_group, Processor(control_group, child.process), result, drains)
    collector = Collector(
        Report(nothing), WORK, {}, {"files": 0, "bytes": 0, "entries": FEW_FILES, "depth": 0}
    )
    collector.finds_nothing()
    report = Report(nothing)
    report.hold_json(EXITED, ending.report())
    report.hold_json(END, {"files_truncated": False})
    report.flush()


def supervise(
    child: WarmChild, control_group: ControlGroup, report: Report, control: int, readers: list[int]
) -> bool:
    """False when there was no program to run."""
    account = child.begin(control, report)
    if account is None:
        return False
    result = Output(RESULT, child.result, account.result_bytes)
    drains = [Drain(reader) for reader in readers]
    ending = Ending(child, control_group, Processor(control_group, child.process), result, drains)
    ending.kind = run(child, result, drains, report, control)
    if ending.kind == SAID_FAREWELL and not any(drain.asked for drain in drains):
        child.strike_everything()
    else:
        child.kill_everything()
    for drain in drains:
        while drain.asked and drain.take():
            pass
    # A farewell is the end of that pipe.
    while ending.kind != SAID_FAREWELL and result.take(report):
        pass
    finish(report, child, ending, Collector(report, WORK, account.given, account.file_bounds))
    # Struck before, which is looked for again: now without keeping the host waiting.
    child.bury_everything()
    return True


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
        writers, readers, start = receive_outputs(control)
        child = WarmChild(out_of_memory_score, dumpability, DRIVERS, control, start, writers)
        report.send_json(READY, [name for name in INTERPRETERS if find_interpreter(name) is not None])
        rehearse(child, control_group, nothing)
        if supervise(child, control_group, report, control, readers):
            report.send_json(NETWORK, network_counters() == counters)
    except Exception as error:
        report.send(FAILED, f"{type(error).__name__}: {error}".encode()[:2000])
    # The host reads at its own pace, and then ends this process.
    while os.read(control, 1):
        pass
