"""What is set up once in a burst container, before there is any program. Part of the burst supervisor's
source.

1. A user namespace over a block of users that own nothing on the host. The two capabilities that it takes to
   map them end here: from then on no process of the container has any capability on the host.
2. An equal share for each execution of what the kernel counts for the container as a whole.
3. One tree of mounts: the image read-only as the engine made it, five devices, nothing of /sys.
4. A process namespace of its own, so that each execution's can be made in it.
"""

from __future__ import annotations

import os
import resource
import sys

from burst_kernel import (
    MOVE,
    NEW_MOUNTS,
    NEW_PROCESSES,
    NEW_USERS,
    NO_PROGRAMS,
    NO_SETUID,
    PLAIN,
    PRIVATE,
    READ_ONLY,
    RECURSIVE,
    Kernel,
)

NOTHING = b"/sys"
"""An empty directory that cannot be written: bound over what programs are not to see."""

_STAGE = "/tmp/dev"  # noqa: S108
_DEVICES = ("null", "zero", "full", "random", "urandom")
_LINKS = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}


def enter_user_namespace(kernel: Kernel, first: int, count: int) -> None:
    """Its user 0, and the caller, is the host's user `first`, who also owns it: what the kernel counts by
    user is counted there for all of the container, and for nobody else of the host.
    """
    reader, writer = os.pipe()
    helper = os.fork()
    if helper == 0:
        try:
            os.close(writer)
            kernel.change_user_and_keep(first)
            if os.read(reader, 1):
                for kind in ("uid_map", "gid_map"):
                    write(f"/proc/1/{kind}", f"0 {first} {count}")
                os._exit(0)
        finally:
            os._exit(1)
    os.close(reader)
    os.setgroups([])
    os.setresgid(first, first, first)
    os.setresuid(first, first, first)
    kernel.unshare(NEW_USERS)
    # Only then does the helper, who is this user too, get at this process's files.
    kernel.be_dumpable()
    os.write(writer, b"x")
    os.close(writer)
    _, status = os.waitpid(helper, 0)
    if status != 0:
        raise OSError("the users of the container could not be mapped")
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def share_out(shares: int) -> None:
    """What the kernel counts by user and up the namespaces: no execution may take all of the container's."""
    for name in ("inotify_instances", "inotify_watches"):
        with open(f"/proc/sys/fs/inotify/max_user_{name.removeprefix('inotify_')}") as file:
            most = int(file.read())
        write(f"/proc/sys/user/max_{name}", str(max(1, most // shares)))
    _, signals = resource.getrlimit(resource.RLIMIT_SIGPENDING)
    if signals != resource.RLIM_INFINITY:
        # For this process too, which needs none; it is inherited.
        resource.setrlimit(resource.RLIMIT_SIGPENDING, (signals // shares, signals // shares))


def lay_out_tree(kernel: Kernel) -> None:
    """Nothing that is covered here can be uncovered by a program: the mounts belong to this namespace."""
    kernel.unshare(NEW_MOUNTS)
    kernel.mount(b"", b"/", b"", RECURSIVE | PRIVATE)
    stage = _STAGE.encode()
    os.mkdir(_STAGE)
    kernel.mount(b"tmpfs", stage, b"tmpfs", NO_SETUID | NO_PROGRAMS, b"mode=0755,size=65536,nr_inodes=32")
    for name in _DEVICES:
        os.close(os.open(f"{_STAGE}/{name}", os.O_WRONLY | os.O_CREAT, 0o600))
        kernel.bind(f"/dev/{name}".encode(), f"{_STAGE}/{name}".encode())
    for name, target in _LINKS.items():
        os.symlink(f"/proc/self/fd{target}", f"{_STAGE}/{name}")
    os.mkdir(f"{_STAGE}/shm")
    kernel.mount(stage, b"/dev", b"", MOVE)
    kernel.make_read_only(b"/dev", NO_SETUID | NO_PROGRAMS)
    kernel.mount(b"tmpfs", NOTHING, b"tmpfs", READ_ONLY | PLAIN, b"mode=0555,size=4096,nr_inodes=2")


def enter_process_namespace(kernel: Kernel) -> None:
    """Returns in a process 1 of its own; the caller waits for its end, and ends."""
    kernel.unshare(NEW_PROCESSES)
    process = os.fork()
    if process:
        os.closerange(0, 1024)
        os.waitpid(process, 0)
        os._exit(0)
    kernel.mount(b"proc", b"/proc", b"proc", PLAIN)


def write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def enter(kernel: Kernel, first: int, count: int, shares: int) -> None:
    if os.getpid() != 1:
        sys.exit("the burst supervisor runs only as process 1 of a container")
    enter_user_namespace(kernel, first, count)
    share_out(shares)
    lay_out_tree(kernel)
    enter_process_namespace(kernel)
