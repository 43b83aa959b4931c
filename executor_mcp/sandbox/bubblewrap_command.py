"""The command line of one bubblewrap sandbox.

What it has: new user, process, network, IPC, UTS, control group and mount namespaces; `/usr` and the
loader's files read-only; one bounded tmpfs as `/tmp` and `/dev/shm`; no capability; a new session; the
seccomp filter. As root everything after joining the control groups runs as a user that owns nothing on the
host, because the same user inside the namespace is that user outside of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from executor_mcp.sandbox.amounts import Amounts
from executor_mcp.sandbox.control_groups import ControlGroup
from executor_mcp.sandbox.host_directories import HostDirectory
from executor_mcp.sandbox.host_users import user_of_its_own
from executor_mcp.sandbox.job_message import PROGRAM_PATH
from executor_mcp.sandbox.languages.language import driver_source

TOOLS = ("bwrap", "unshare", "setpriv", "mount", "sh", "python3")
TOOL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SANDBOX_USER = 1000

_LOADER_FILES = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives")
_TOP_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_BINDING_PLACES = ("/mnt", "/media", "/srv")
_MASKED = ("/proc/acpi", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/scsi", "/proc/driver")
_NAMES = "root:x:0:0::/:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n"
PASSWD = f"{_NAMES}sandbox:x:{SANDBOX_USER}:{SANDBOX_USER}::/tmp/work:/bin/sh\n".encode()
GROUP = f"root:x:0:\nnogroup:x:65534:\nsandbox:x:{SANDBOX_USER}:\n".encode()


@dataclass(frozen=True)
class Descriptors:
    """Inherited by bwrap: the filter, three small files, and where it reports the sandbox's process."""

    filter: int
    passwd: int
    group: int
    hosts: int
    status: int

    def all(self) -> tuple[int, ...]:
        return (self.filter, self.passwd, self.group, self.hosts, self.status)


def bubblewrap_command(
    amounts: Amounts,
    group: ControlGroup | None,
    descriptors: Descriptors,
    supervisor: str,
    directories: tuple[HostDirectory, ...] = (),
) -> list[str]:
    """`supervisor` is the Python program of process 1."""
    groups = [] if group is None else [str(directory) for directory in group.directories]
    options = f"size={amounts.disk_bytes},nr_inodes={amounts.inodes},mode=0755,nosuid,nodev,noexec"
    stage = driver_source("bubblewrap_stage.sh")
    bindings, reachable = _made_reachable(directories)
    return [
        *("sh", "-c", driver_source("bubblewrap_launcher.sh"), "launcher", *groups, "--"),
        *bindings,
        *_as_nobody(),
        *("unshare", "--user", "--map-root-user", "--mount", "--"),
        *("sh", "-c", stage, "stage", options),
        *_sandbox(descriptors, reachable),
        *("--", "python3", "-I", "-S", "-c", supervisor),
    ]


def _as_nobody() -> list[str]:
    if os.geteuid() != 0:
        return []
    user = str(user_of_its_own())
    return ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--bounding-set=-all", "--"]


def _made_reachable(
    directories: tuple[HostDirectory, ...],
) -> tuple[list[str], tuple[HostDirectory, ...]]:
    """As root: a stage that binds them where the sandbox's unprivileged user may go, in a mount namespace
    of its own; they lie where only root may enter.
    """
    if not directories or os.geteuid() != 0:
        return [], directories
    sources = [str(directory.source) for directory in directories]
    place = next(
        (place for place in _BINDING_PLACES if not any(one.startswith(f"{place}/") for one in sources)),
        _BINDING_PLACES[0],
    )
    stage = driver_source("bubblewrap_bindings.sh")
    command = ["unshare", "--mount", "--", "sh", "-c", stage, "bindings", place, *sources, "--"]
    bound = (HostDirectory(Path(f"{place}/{number}"), one.target) for number, one in enumerate(directories))
    return command, tuple(bound)


def _sandbox(descriptors: Descriptors, directories: tuple[HostDirectory, ...]) -> list[str]:
    arguments = [
        *("--unshare-all", "--unshare-user", "--disable-userns"),
        *("--uid", str(SANDBOX_USER), "--gid", str(SANDBOX_USER), "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL"),
        *("--clearenv", "--setenv", "PATH", PROGRAM_PATH, "--setenv", "LANG", "C.UTF-8"),
        *("--ro-bind", "/usr", "/usr"),
    ]
    for folder in _TOP_FOLDERS:
        arguments += _top_folder(Path(folder))
    for path in _LOADER_FILES:
        arguments += ["--ro-bind-try", path, path]
    arguments += ["--ro-bind-data", str(descriptors.passwd), "/etc/passwd"]
    arguments += ["--ro-bind-data", str(descriptors.group), "/etc/group"]
    arguments += ["--ro-bind-data", str(descriptors.hosts), "/etc/hosts"]
    # The namespaces' own switches belong to their user, who may write them.
    arguments += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"]
    for path in _MASKED:
        if Path(path).is_dir():
            arguments += ["--tmpfs", path, "--remount-ro", path]
    for directory in directories:
        arguments += ["--ro-bind", str(directory.source), directory.target]
    return [
        *arguments,
        *("--dev", "/dev", "--bind", "/tmp/shm", "/dev/shm", "--bind", "/tmp/tmp", "/tmp"),  # noqa: S108
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"),
        *("--json-status-fd", str(descriptors.status), "--seccomp", str(descriptors.filter)),
    ]


def _top_folder(folder: Path) -> list[str]:
    """The same link as on the host where `/usr` is merged, a read-only bind where it is not."""
    if folder.is_symlink():
        return ["--symlink", os.readlink(folder), str(folder)]
    return ["--ro-bind", str(folder), str(folder)] if folder.is_dir() else []
