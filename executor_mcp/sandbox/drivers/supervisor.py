"""Process 1 of a sandbox: receives one program, runs it, and reports what it did. Standard library only.

It is given to the sandbox's Python (3.9 or later) as source text, so it imports nothing of this project.
Frames, both ways, are `type (1 byte) | length (4 bytes, big-endian) | payload`;
`executor_mcp.sandbox.frames` is the other end, `executor_mcp.sandbox.job_message` says what a job has.

1. It refuses to run as anything but process 1: it kills every process it can see.
2. It makes itself undumpable: a program of the same user then cannot open its memory, environment or pipes.
3. It starts one child with new pipes and hard resource limits; the report channel is closed in it.
4. It forwards output up to a bound, and goes on reading and dropping beyond it, in constant memory.
5. When the child ends, or at STOP, it kills and reaps everything else, and only then looks at the files.
6. It follows no link, opens nothing but regular files, and stays within the bounds it was given.
"""

from __future__ import annotations

import os
import resource
import select
import sys
import time

from egress_forwarder import start_forwarder
from sandbox_languages import INTERPRETERS
from supervisor_files import CheckpointLook, Collector
from supervisor_parts import (
    WATCH_SECONDS,
    WORK,
    ControlGroup,
    Dumpability,
    Output,
    Program,
    Watch,
    find_interpreter,
    lay_out,
)
from supervisor_quick import signal
from supervisor_wire import END, EXITED, FAILED, LOOK, READY, Report, receive, receive_job


def wake(number: int, frame: object) -> None:
    """Nothing: that the signal is handled at all makes it write to the wake-up pipe."""


def run(program: Program, outputs: list[Output], watch: Watch, report: Report, control: int) -> bool:
    """Forwards output until the program ends or the host says stop; True when the host stopped it."""
    wakeup, wakeup_writer = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(wakeup_writer, False)
    signal.signal(signal.SIGCHLD, wake)
    signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)
    poll = select.poll()
    by_descriptor = {output.descriptor: output for output in outputs}
    checkpoint = CheckpointLook(WORK)
    for descriptor in (*by_descriptor, wakeup, control):
        poll.register(descriptor, select.POLLIN)
    next_sample = 0.0
    program.reap()
    while program.status is None:
        ready = poll.poll(WATCH_SECONDS * 1000)
        if time.monotonic() >= next_sample:
            if watch.sample():
                return False
            next_sample = time.monotonic() + WATCH_SECONDS
        for descriptor, _ in ready:
            if descriptor == control:
                if receive(control)[0] != LOOK:
                    return True
                checkpoint.send(report)
                continue
            if descriptor == wakeup:
                os.read(wakeup, 4096)
                program.reap()
            elif not by_descriptor[descriptor].take(report) and program.status is None:
                poll.unregister(descriptor)
    return False


def supervise(report: Report, control: int, out_of_memory_score: int) -> None:
    report.send_json(READY, [name for name in INTERPRETERS if find_interpreter(name) is not None])
    job = receive_job(control)
    os.makedirs(WORK, 0o755, exist_ok=True)
    given = lay_out(job)
    if job["forwarder"] is not None:
        start_forwarder(job["forwarder"])
    program = Program(job, out_of_memory_score)
    control_group = ControlGroup()
    watch = Watch(job["watched_memory_bytes"], job["watched_processes"])
    outputs = program.start()
    job["files"] = job["driver"] = None
    stopped = run(program, outputs, watch, report, control)
    program.kill_everything()
    for output in outputs:
        while output.take(report):
            pass
    kills, peak = control_group.facts()
    status = program.status if program.status is not None else 0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    report.send_json(
        EXITED,
        {
            "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "stopped": stopped,
            "memory_exceeded": watch.memory_exceeded,
            "processes_exceeded": watch.processes_exceeded,
            "memory_kills": kills,
            "peak_memory_bytes": peak or watch.peak or usage.ru_maxrss * 1024,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "stdout_bytes": outputs[0].total,
            "stderr_bytes": outputs[1].total,
            "result_bytes": outputs[2].total,
        },
    )
    collector = Collector(report, WORK, given, job["file_bounds"])
    collector.collect()
    report.send_json(END, {"files_truncated": collector.truncated})


def main() -> None:
    if os.getpid() != 1:
        sys.exit("the supervisor runs only as process 1 of a sandbox")
    # Python's own handler would raise here; without any, the kernel keeps the signal from process 1.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The report goes where the sandbox's own standard output went; nothing else may write there.
    report = Report(os.dup(1))
    control = os.dup(0)
    nothing = os.open("/dev/null", os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    try:
        # Opened first: an undumpable process may not open its own files under /proc.
        out_of_memory_score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        Dumpability().set(False)
        supervise(report, control, out_of_memory_score)
    except Exception as error:
        report.send(FAILED, f"{type(error).__name__}: {error}".encode()[:2000])


main()
