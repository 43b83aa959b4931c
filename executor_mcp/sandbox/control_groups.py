"""Control groups for one sandbox, version 1 or 2, where this process may make them.

Without one the sandbox still has its rlimits and its supervisor's watch; `ControlGroups.find` says which
bounds hold. Calls are short file operations under /sys/fs/cgroup; all but `make` block, so they are called
from a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import time
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from executor_mcp.sandbox.amounts import Amounts
from executor_mcp.sandbox.owner import Owner

_PREFIX = "hitl-sandbox-"
_WANTED = ("memory", "pids", "cpu")
_PERIOD_MICROSECONDS = 100_000
_REMOVE_SECONDS = 5.0
_SMALL_SHARES = {"cpu.shares": "64", "cpu.weight": "6"}
"""A sixteenth of the usual, in version 1 and in version 2."""


@dataclass(frozen=True)
class ControlGroupFacts:
    out_of_memory: bool
    peak_memory_bytes: int | None
    cpu_seconds: float | None


@dataclass(frozen=True)
class ControlGroup:
    """The directories of one sandbox: one in version 2, one for each controller in version 1.

    `files`: which of them has a file of a name, where that is known already; else it is looked for.
    """

    directories: tuple[Path, ...]
    files: Mapping[str, tuple[int, ...]] | None = field(default=None, repr=False)

    def limit(self, amounts: Amounts) -> None:
        quota = max(1000, int(amounts.cpus * _PERIOD_MICROSECONDS))
        self._write_first(("memory.max", "memory.limit_in_bytes"), str(amounts.memory_bytes))
        # Absent where the kernel does not account for swap; then there is no way to forbid it and none to
        # see it.
        self._write_any("memory.swap.max", "0")
        self._write_any("memory.memsw.limit_in_bytes", str(amounts.memory_bytes))
        self._write_any("memory.swappiness", "0")
        self._write_first(("pids.max",), str(amounts.processes))
        self._write_any("cpu.max", f"{quota} {_PERIOD_MICROSECONDS}")
        self._write_any("cpu.cfs_period_us", str(_PERIOD_MICROSECONDS))
        self._write_any("cpu.cfs_quota_us", str(quota))

    def facts(self) -> ControlGroupFacts:
        kills = self._table("memory.events").get("oom_kill", 0) + self._table("memory.oom_control").get(
            "oom_kill", 0
        )
        peak = self._number("memory.peak") or self._number("memory.max_usage_in_bytes")
        microseconds = self._table("cpu.stat").get("usage_usec")
        nanoseconds = self._number("cpuacct.usage")
        cpu = microseconds / 1e6 if microseconds else nanoseconds / 1e9 if nanoseconds else None
        return ControlGroupFacts(out_of_memory=kills > 0, peak_memory_bytes=peak, cpu_seconds=cpu)

    def remove(self) -> bool:
        """Kills what is in it and removes it; False when the kernel would not let go of it in time."""
        deadline = time.monotonic() + _REMOVE_SECONDS
        remaining = list(self.directories)
        while remaining:
            for directory in tuple(remaining):
                self._kill(directory)
                try:
                    directory.rmdir()
                except FileNotFoundError:
                    remaining.remove(directory)
                except OSError:
                    continue
                else:
                    remaining.remove(directory)
            if remaining and time.monotonic() > deadline:
                return False
            if remaining:
                time.sleep(0.005)
        return True

    def dissolve(self, seconds: float) -> bool:
        """Removes it once it is empty and kills nothing; False when something is still in it by then."""
        deadline = time.monotonic() + seconds
        remaining = list(self.directories)
        while remaining:
            try:
                remaining[-1].rmdir()
            except FileNotFoundError:
                remaining.pop()
            except OSError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.002)
            else:
                remaining.pop()
        return True

    def _kill(self, directory: Path) -> None:
        with contextlib.suppress(OSError, ValueError):
            for process in (directory / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)

    def _paths(self, name: str) -> list[Path]:
        if self.files is None:
            return [directory / name for directory in self.directories if (directory / name).exists()]
        return [self.directories[place] / name for place in self.files.get(name, ())]

    def _write_any(self, name: str, value: str) -> None:
        for path in self._paths(name):
            with contextlib.suppress(OSError):
                path.write_text(value)

    def _write_first(self, names: tuple[str, ...], value: str) -> None:
        paths = [path for name in names for path in self._paths(name)]
        if not paths:
            raise OSError(f"the control group has no {names[0]}")
        paths[0].write_text(value)

    def _number(self, name: str) -> int | None:
        for path in self._paths(name):
            with contextlib.suppress(OSError, ValueError):
                return int(path.read_text())
        return None

    def _table(self, name: str) -> dict[str, int]:
        for path in self._paths(name):
            with contextlib.suppress(OSError, ValueError):
                pairs = (line.split() for line in path.read_text().splitlines())
                return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
        return {}


class ControlGroups:
    """Makes control groups beside this process's own."""

    def __init__(self, parents: tuple[Path, ...], owner: Owner) -> None:
        self._parents = parents
        self._owner = owner
        self._files: Mapping[str, tuple[int, ...]] | None = None

    @classmethod
    def find(cls, owner: Owner) -> ControlGroups | None:
        """None where memory and process numbers cannot be bounded by control groups of this process's
        making.
        """
        for parents in (_version_2(), _version_1()):
            if not parents:
                continue
            groups = cls(parents, owner)
            try:
                probe = groups.create(f"probe-{secrets.token_hex(8)}")
                groups._files = _files_of(probe)
                limited = _can_limit(groups._files.keys())
                probe.remove()
            except OSError:
                continue
            if limited:
                return groups
        return None

    def create(self, name: str) -> ControlGroup:
        """Raises OSError."""
        made: list[Path] = []
        try:
            for parent in self._parents:
                directory = parent / f"{_PREFIX}{self._owner}-{name}"
                directory.mkdir()
                made.append(directory)
        except OSError:
            ControlGroup(tuple(made)).remove()
            raise
        return ControlGroup(tuple(made), self._files)

    async def make(self, name: str, amounts: Amounts) -> ControlGroup:
        """One with limits, in a thread; none is left where the caller is cancelled. Raises OSError."""
        making = asyncio.create_task(asyncio.to_thread(self._create_limited, name, amounts))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            # A thread cannot be cancelled: what it makes would be nobody's.
            with contextlib.suppress(OSError):
                await asyncio.to_thread((await making).remove)
            raise

    def _create_limited(self, name: str, amounts: Amounts) -> ControlGroup:
        group = self.create(name)
        try:
            group.limit(amounts)
        except OSError:
            group.remove()
            raise
        return group

    def remove_leftovers(self) -> int:
        """Removes the groups of owners that are gone, with everything in them."""
        groups: dict[str, list[Path]] = {}
        for parent in self._parents:
            for directory in parent.glob(_PREFIX + "*"):
                owner = Owner.parse(directory.name.removeprefix(_PREFIX).split("-", 1)[0])
                if owner is not None and owner.is_gone():
                    groups.setdefault(directory.name, []).append(directory)
        return sum(ControlGroup(tuple(directories)).remove() for directories in groups.values())


def _files_of(group: ControlGroup) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for place, directory in enumerate(group.directories):
        for path in directory.iterdir():
            found[path.name] = (*found.get(path.name, ()), place)
    return found


def _can_limit(files: Set[str]) -> bool:
    return "pids.max" in files and bool(files & {"memory.max", "memory.limit_in_bytes"})


def processor_group(process: int) -> Path | None:
    """The directory that shares out the processor to a process of this host; None where that group is not its
    own, or it is gone.
    """
    try:
        theirs, ours = memberships(str(process)), memberships()
    except OSError:
        return None
    for kind, mount_point, root, options in mounts():
        controller = "cpu" if kind == "cgroup" and "cpu" in options else "" if kind == "cgroup2" else None
        if controller is None or theirs.get(controller, "/") in ("/", ours.get(controller)):
            continue
        return directory_of((mount_point, root), theirs[controller])
    return None


def give_way(directory: Path) -> None:
    """What runs in the group gets the processor after others that want it. Does nothing where it may not."""
    for name, value in _SMALL_SHARES.items():
        with contextlib.suppress(OSError):
            descriptor = os.open(directory / name, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, value.encode())
            finally:
                os.close(descriptor)


def memberships(process: str = "self") -> dict[str, str]:
    """Controller (or "" for version 2) to the process's path in its hierarchy. Raises OSError."""
    found: dict[str, str] = {}
    for line in Path(f"/proc/{process}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def mounts() -> list[tuple[str, Path, str, frozenset[str]]]:
    """(type, mount point, root within the hierarchy, super options) of every mounted hierarchy."""
    found: list[tuple[str, Path, str, frozenset[str]]] = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            fields = left.split(" ")
            found.append((kind, Path(fields[4]), fields[3], frozenset(options.split(","))))
    return found


def directory_of(mount: tuple[Path, str], path: str) -> Path | None:
    """Where a group lies, by a hierarchy's mount point and the root mounted there; None outside of that."""
    mount_point, root = mount
    inside = path.removeprefix(root) if root != "/" else path
    directory = mount_point / inside.lstrip("/")
    return directory if directory.is_dir() else None


def _own_directory(mount_point: Path, root: str, path: str) -> Path:
    """In a container the path may lie outside of what is mounted; the mount's top is then the own group."""
    return directory_of((mount_point, root), path) or mount_point


def _version_2() -> tuple[Path, ...]:
    path = memberships().get("", "/")
    for kind, mount_point, root, _ in mounts():
        if kind != "cgroup2":
            continue
        own = _own_directory(mount_point, root, path)
        # Processes and controllers may not share a group (except the root): then the parent is tried.
        for candidate in (own, own.parent):
            with contextlib.suppress(OSError):
                enabled = (candidate / "cgroup.subtree_control").read_text().split()
                available = (candidate / "cgroup.controllers").read_text().split()
                missing = [name for name in _WANTED if name in available and name not in enabled]
                if missing:
                    (candidate / "cgroup.subtree_control").write_text(
                        " ".join(f"+{name}" for name in missing)
                    )
                if {"memory", "pids"} <= {*enabled, *missing} and os.access(candidate, os.W_OK):
                    return (candidate,)
    return ()


def _version_1() -> tuple[Path, ...]:
    own = memberships()
    found: dict[str, Path] = {}
    for kind, mount_point, root, options in mounts():
        for controller in (*_WANTED, "cpuacct"):
            if kind == "cgroup" and controller in options and controller in own:
                found.setdefault(controller, _own_directory(mount_point, root, own[controller]))
    return tuple(dict.fromkeys(found.values())) if {"memory", "pids"} <= found.keys() else ()
