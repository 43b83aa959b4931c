"""Meters of a sandbox's usage: its control group, version 1 or 2, or else the tree of its processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from executor_mcp.sandbox.control_groups import directory_of, memberships, mounts
from executor_mcp.sandbox.usage import UsageReading

_SUPERVISOR: Final = "supervisor"
_READ_BYTES: Final = 4096
_MOST_PROCESSES: Final = 512
_TICK: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

# Each: the controllers it lies under ("" is version 2), the file, what it means.
_FILES: Final = (
    ("cpuacct", "cpuacct.usage"),
    ("memory", "memory.usage_in_bytes"),
    ("memory", "memory.max_usage_in_bytes"),
    ("pids", "pids.current"),
    ("blkio", "blkio.throttle.io_service_bytes"),
    ("", "cpu.stat"),
    ("", "memory.current"),
    ("", "memory.peak"),
    ("", "pids.current"),
    ("", "io.stat"),
)
CONTROLLERS: Final = tuple(dict.fromkeys(controller for controller, _ in _FILES))


class ControlGroupMeter:
    """Reads files that stay open: a reading is a handful of system calls.

    `supervisor` is process 1 of the sandbox: its processor time is not the program's. `own_tasks` are not
    either; None where tasks say nothing of the program.
    """

    def __init__(self, descriptors: dict[str, int], *, own_tasks: int | None) -> None:
        self._descriptors = descriptors
        self._own_tasks = own_tasks

    @classmethod
    def of_process(cls, process: int, *, own_tasks: int | None = 1) -> ControlGroupMeter | None:
        """The meter of the group that a process of this host is in.

        None where it is not in one of its own: then the files would tell of others too.
        """
        try:
            theirs, ours = memberships(str(process)), memberships()
            places = [
                (controller, directory_of(mount, theirs[controller]))
                for controller, mount in _controller_mounts()
                if theirs.get(controller, "/") not in ("/", ours.get(controller))
            ]
        except OSError:
            return None
        found = [(controller, place) for controller, place in places if place is not None]
        supervisor = None if own_tasks is None else process
        return cls.of_directories(found, supervisor=supervisor, own_tasks=own_tasks)

    @classmethod
    def of_directories(
        cls, places: list[tuple[str, Path]], *, supervisor: int | None, own_tasks: int | None = 1
    ) -> ControlGroupMeter | None:
        descriptors: dict[str, int] = {}
        for controller, directory in places:
            for owner, name in _FILES:
                if owner == controller:
                    with contextlib.suppress(OSError):
                        opened = os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC)
                        if (other := descriptors.setdefault(name, opened)) != opened:
                            os.close(opened)
                            descriptors[name] = other
        if descriptors and supervisor is not None:
            with contextlib.suppress(OSError):
                descriptors[_SUPERVISOR] = os.open(f"/proc/{supervisor}/stat", os.O_RDONLY | os.O_CLOEXEC)
        return cls(descriptors, own_tasks=own_tasks) if descriptors else None

    async def read(self) -> UsageReading | None:
        texts = {name: text for name in self._descriptors if (text := self._text(name)) is not None}
        if not texts.keys() - {_SUPERVISOR}:
            return None
        nanoseconds, microseconds = _number(texts, "cpuacct.usage"), _named(texts.get("cpu.stat", ""))
        cpu = None if nanoseconds is None else nanoseconds / 1e9
        if cpu is None and "usage_usec" in microseconds:
            cpu = microseconds["usage_usec"] / 1e6
        if cpu is not None:
            cpu = max(0.0, cpu - _own_seconds(texts.get(_SUPERVISOR, "")))
        tasks = _number(texts, "pids.current")
        read, written = _disk_bytes(texts)
        return UsageReading(
            cpu_seconds=cpu,
            memory_bytes=_first(texts, "memory.usage_in_bytes", "memory.current"),
            peak_memory_bytes=_first(texts, "memory.max_usage_in_bytes", "memory.peak"),
            processes=None if tasks is None or self._own_tasks is None else max(0, tasks - self._own_tasks),
            read_bytes=read,
            written_bytes=written,
        )

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors = {}

    def _text(self, name: str) -> str | None:
        try:
            return os.pread(self._descriptors[name], _READ_BYTES, 0).decode("ascii", "replace")
        except OSError:
            return None


class ProcessTreeMeter:
    """Adds up a process and all below it, for sandboxes that have no control group. In a thread: there may be
    hundreds.
    """

    def __init__(self, process: int, *, is_alive: Callable[[], bool]) -> None:
        self._process = process
        self._is_alive = is_alive
        self._read_bytes = 0
        self._written_bytes = 0

    async def read(self) -> UsageReading | None:
        return await asyncio.to_thread(self._add_up)

    def close(self) -> None:
        """Nothing is held."""

    def _add_up(self) -> UsageReading | None:
        ticks = pages = tasks = read = written = 0
        waiting, seen = deque([self._process]), 0
        while waiting and seen < _MOST_PROCESSES:
            process = waiting.popleft()
            seen += 1
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                # proc(5) from field 3 on: utime, stime, cutime and cstime; threads; resident pages.
                ticks += sum(int(field) for field in fields[11:15])
                if process != self._process:
                    tasks += int(fields[17])
                    pages += int(fields[21])
                waiting.extend(_children(process))
                own_read, own_written = _process_bytes(process)
                read, written = read + own_read, written + own_written
        if not self._is_alive():
            return None
        # Processes that have ended take their bytes with them.
        self._read_bytes = max(self._read_bytes, read)
        self._written_bytes = max(self._written_bytes, written)
        return UsageReading(
            cpu_seconds=ticks / _TICK,
            memory_bytes=pages * _PAGE,
            processes=tasks,
            read_bytes=self._read_bytes,
            written_bytes=self._written_bytes,
        )


def _own_seconds(stat: str) -> float:
    """Processor time of a process alone, without its children's."""
    fields = stat.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:13]) / _TICK


def _children(process: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _process_bytes(process: int) -> tuple[int, int]:
    try:
        facts = _named(Path(f"/proc/{process}/io").read_text().replace(":", ""))
    except OSError:
        return 0, 0
    return facts.get("read_bytes", 0), facts.get("write_bytes", 0)


def _controller_mounts() -> list[tuple[str, tuple[Path, str]]]:
    found: list[tuple[str, tuple[Path, str]]] = []
    for kind, mount_point, root, options in mounts():
        if kind == "cgroup2":
            found.append(("", (mount_point, root)))
        found.extend(
            (controller, (mount_point, root))
            for controller in ("cpuacct", "memory", "pids", "blkio")
            if kind == "cgroup" and controller in options
        )
    return found


def _disk_bytes(texts: dict[str, str]) -> tuple[int | None, int | None]:
    read = written = 0
    if "blkio.throttle.io_service_bytes" in texts:
        for line in texts["blkio.throttle.io_service_bytes"].splitlines():
            match line.split():
                case [_, "Read", amount]:
                    read += int(amount)
                case [_, "Write", amount]:
                    written += int(amount)
                case _:
                    continue
        return read, written
    if "io.stat" in texts:
        for fact in texts["io.stat"].split():
            name, _, amount = fact.partition("=")
            read += int(amount) if name == "rbytes" else 0
            written += int(amount) if name == "wbytes" else 0
        return read, written
    return None, None


def _named(text: str) -> dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(texts: dict[str, str], name: str) -> int | None:
    text = texts.get(name, "").strip()
    return int(text) if text.isdigit() else None


def _first(texts: dict[str, str], *names: str) -> int | None:
    return next((number for name in names if (number := _number(texts, name)) is not None), None)
