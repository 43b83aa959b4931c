"""What both supervisors do with a program: lay it out, start it, watch it, end it. Part of their source.

Standard library only, Python 3.9 or later: it is run by the sandbox's Python.
"""

from __future__ import annotations

import binascii
import fcntl
import os
import resource

from supervisor_quick import signal
from supervisor_wire import FRAME_BYTES, RESULT, STDERR, STDOUT, Report, sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Takes longer to load than most programs run.
    from typing import Any, NoReturn

RESULT_DESCRIPTOR = 3
ROOT = "/tmp"  # noqa: S108 - the sandbox's own, the only place that can be written
WORK = ROOT + "/work"
INPUT = ROOT + "/input.json"
WATCH_SECONDS = 0.05


def find_interpreter(name: str) -> str | None:
    for folder in ("/usr/local/bin", "/usr/bin", "/bin"):
        path = f"{folder}/{name}"
        if os.access(path, os.X_OK):
            return path
    return None


class Dumpability:
    """Whether processes of the same user may look into this one. The library is loaded once, beforehand."""

    def __init__(self) -> None:
        import ctypes

        self._library = ctypes.CDLL(None, use_errno=True)

    def set(self, dumpable: bool) -> None:
        pr_set_dumpable = 4
        if self._library.prctl(pr_set_dumpable, int(dumpable), 0, 0, 0) != 0:
            raise OSError("prctl(PR_SET_DUMPABLE) failed")


class Output:
    """One pipe of the program, forwarded up to a bound."""

    def __init__(self, kind: int, descriptor: int, bound: int) -> None:
        self.kind = kind
        self.descriptor = descriptor
        self.room = bound
        self.total = 0

    def take(self, report: Report) -> bool:
        """Reads once; False at the end of the pipe, and when there is nothing to read now."""
        try:
            chunk = os.read(self.descriptor, FRAME_BYTES)
        except BlockingIOError:
            return False
        self.total += len(chunk)
        kept = chunk[: self.room]
        if kept:
            self.room -= len(kept)
            report.send(self.kind, kept)
        return bool(chunk)


class Watch:
    """Bounds on memory and processes where no control group of the sandbox holds them: a sample, then the
    end.
    """

    def __init__(self, memory_bytes: int | None, processes: int | None) -> None:
        self._memory_bytes = memory_bytes
        self._processes = processes
        self._page = os.sysconf("SC_PAGE_SIZE")
        self.peak = 0
        self.memory_exceeded = False
        self.processes_exceeded = False

    def sample(self) -> bool:
        """True when a bound is exceeded."""
        files = os.statvfs(ROOT)
        in_files = (files.f_blocks - files.f_bfree) * files.f_frsize
        processes = [name for name in os.listdir("/proc") if name.isdigit()]
        programs = [name for name in processes if name != "1"]
        # Mapped files of the tmpfs are in both; memory that processes share counts for each of them.
        shared = sum(self._shared(name) for name in programs)
        used = max(in_files, shared) + sum(self._private(name) for name in programs)
        self.peak = max(self.peak, used)
        if self._memory_bytes is not None and used > self._memory_bytes:
            self.memory_exceeded = True
        if self._processes is not None and len(processes) > self._processes:
            self.processes_exceeded = True
        return self.memory_exceeded or self.processes_exceeded

    def _private(self, process: str) -> int:
        try:
            with open(f"/proc/{process}/statm", "rb") as file:
                _, resident, shared = file.read().split()[:3]
        except (OSError, ValueError):
            return 0
        return (int(resident) - int(shared)) * self._page

    def _shared(self, process: str) -> int:
        """Shared memory that no file system bounds: neither rlimit nor `_private` sees it."""
        if self._memory_bytes is None:
            return 0
        try:
            with open(f"/proc/{process}/status", "rb") as file:
                lines = [line.split() for line in file if line.startswith(b"RssShmem:")]
        except OSError:
            return 0
        return int(lines[0][1]) * 1024 if lines else 0


class Child:
    """The one child: reaped, and everything of it killed. How it starts is each supervisor's own."""

    def __init__(self, out_of_memory_score: int) -> None:
        self._out_of_memory_score = out_of_memory_score
        self.status: int | None = None
        self.process = 0

    def prefer_as_victim(self, score: int) -> None:
        # Inherited at fork: the kernel then kills the program for want of memory, not its supervisor.
        try:
            os.write(self._out_of_memory_score, str(score).encode())
        except OSError:
            return

    def reap(self) -> None:
        """Collects every process that has ended, without waiting."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            if process == self.process:
                self.status = status

    def strike_everything(self) -> None:
        """Nothing but this process returns from the kernel any more; what is left is taken apart there."""
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return

    def kill_everything(self) -> None:
        """Returns when this process is the only one left."""
        self.strike_everything()
        self.bury_everything()

    def bury_everything(self) -> None:
        """Of what was struck; returns when this process is the only one left."""
        while True:
            try:
                process, status = os.waitpid(-1, 0)
            except ChildProcessError:
                return
            if process == self.process:
                self.status = status
            self.strike_everything()


class Program(Child):
    """A child that is forked for its program, with limits."""

    def __init__(self, job: dict[str, Any], out_of_memory_score: int) -> None:
        super().__init__(out_of_memory_score)
        self._job = job

    def start(self) -> list[Output]:
        bound: int = self._job["output_bytes"]
        pipes = [os.pipe() for _ in range(3)]
        # Found before the program exists; none of these directories can be written in a sandbox.
        path = find_interpreter(self._job["interpreter"])
        if path is None:
            raise FileNotFoundError(f"{self._job['interpreter']} is not installed in this sandbox")
        command: list[str] = [path, *self._job["arguments"]]
        self.prefer_as_victim(1000)
        self.process = os.fork()
        if self.process == 0:
            self._become(command, [write for _, write in pipes])
        self.prefer_as_victim(0)
        outputs: list[Output] = []
        for kind, (read, write) in zip((STDOUT, STDERR, RESULT), pipes):  # noqa: B905 - 3.9 may run this
            os.close(write)
            os.set_blocking(read, False)
            room = self._job["result_bytes"] if kind == RESULT else bound
            outputs.append(Output(kind, read, room))
        return outputs

    def _become(self, command: list[str], writers: list[int]) -> NoReturn:
        try:
            os.setsid()
            nothing = os.open("/dev/null", os.O_RDONLY)
            # Above every descriptor that is about to be replaced.
            high = [fcntl.fcntl(writer, fcntl.F_DUPFD, 100) for writer in writers]
            os.dup2(nothing, 0)
            for target, writer in zip((1, 2, RESULT_DESCRIPTOR), high):  # noqa: B905
                os.dup2(writer, target)
            os.closerange(RESULT_DESCRIPTOR + 1, 1024)
            for number, value in self._job["resource_limits"]:
                resource.setrlimit(number, (value, value))
            for number in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            os.chdir(WORK)
            os.execve(command[0], command, self._job["environment"])  # noqa: S606
        except BaseException as error:
            os.write(2, f"the interpreter could not be started: {error}\n".encode())
        os._exit(127)


def write_file(path: str, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        remaining = memoryview(content)
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
    finally:
        os.close(descriptor)


def lay_out(job: dict[str, Any]) -> dict[str, str]:
    """Writes what the program is given; returns the digests of the files in its work directory, which is
    there already.
    """
    os.umask(0o022)
    given: dict[str, str] = {}
    for path, encoded in job["files"]:
        content = binascii.a2b_base64(encoded)
        place = WORK + "/" + path
        if "/" in path:
            os.makedirs(os.path.dirname(place), 0o755, exist_ok=True)
        write_file(place, content, 0o644)
        given[path] = sha256(content).hexdigest()
    if job["driver"] is not None:
        write_file(job["driver_path"], job["driver"].encode(), 0o444)
    if job["certificates"] is not None:
        write_file(job["certificates_path"], job["certificates"].encode(), 0o444)
    write_file(INPUT, job["input_json"].encode(), 0o444)
    return given


class ControlGroup:
    """What the kernel has counted for the sandbox as a whole, where its control group tells. The files are
    opened once, beforehand.
    """

    def __init__(self) -> None:
        folder = "/sys/fs/cgroup/"
        self._processor = _opened(folder + "cpuacct/cpuacct.usage", folder + "cpu.stat")
        self._kills = _opened(folder + "memory/memory.oom_control", folder + "memory.events")
        self._peaks = _opened(folder + "memory/memory.max_usage_in_bytes", folder + "memory.peak")

    def processor_seconds(self) -> float | None:
        """Of all that ever ran in it; None where it does not tell."""
        for descriptor in self._processor:
            words = _words(descriptor)
            if words:
                return int(words[0]) / 1e9 if len(words) == 1 else int(words[1]) / 1e6
        return None

    def facts(self) -> tuple[int, int]:
        """Processes killed for want of memory, and peak memory in bytes; 0 where it does not tell."""
        kills = peak = 0
        for descriptor in self._kills:
            words = _words(descriptor)
            if b"oom_kill" in words[:-1]:
                kills = max(kills, int(words[words.index(b"oom_kill") + 1]))
        for descriptor in self._peaks:
            words = _words(descriptor)
            if len(words) == 1:
                peak = max(peak, int(words[0]))
        return kills, peak


def _words(descriptor: int) -> list[bytes]:
    try:
        return os.pread(descriptor, 4096, 0).split()
    except OSError:
        return []


def _opened(*paths: str) -> list[int]:
    opened: list[int] = []
    for path in paths:
        try:
            opened.append(os.open(path, os.O_RDONLY))
        except OSError:
            continue
    return opened
