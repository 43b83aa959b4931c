"""The system calls a program in a sandbox may make, as a list to be read.

`seccomp.json` beside this module is made of it (`python -m executor_mcp.sandbox.seccomp_profile FILE …`) and
is what engines and bubblewrap are given; a test compares the two. Everything starts refused. What is missing
below is refused with EPERM, among it io_uring, AF_VSOCK, AF_ALG, every netlink, modify_ldt, memfd_secret,
keyrings, namespaces and mounts, ptrace and its relatives, bpf, perf, userfaultfd, handles and quotas.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97
_ALLOW, _ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"

FILES = """
access chdir chmod chown creat faccessat faccessat2 fchdir fchmod fchmodat fchmodat2 fchown fchownat
fgetxattr flistxattr fstat fstatfs futimesat getcwd getdents getdents64 getxattr inotify_add_watch
inotify_init inotify_init1 inotify_rm_watch lchown lgetxattr link linkat listxattr llistxattr lstat mkdir
mkdirat newfstatat open openat openat2 readlink readlinkat rename renameat renameat2 rmdir stat statfs statx
symlink symlinkat truncate umask unlink unlinkat utime utimensat utimes
"""
DESCRIPTORS = """
close close_range copy_file_range dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2
epoll_wait eventfd eventfd2 fadvise64 fallocate fcntl fdatasync flock fsync ftruncate ioctl lseek pipe pipe2
poll ppoll pread64 preadv preadv2 pselect6 pwrite64 pwritev pwritev2 read readahead readv select sendfile
splice sync_file_range tee write writev
"""
MEMORY = """
brk madvise membarrier mincore mlock mlock2 mmap mprotect mremap mseal msync munlock munmap pkey_alloc
pkey_free pkey_mprotect
"""
PROCESSES = """
arch_prctl capget execve exit exit_group fork futex futex_requeue futex_wait futex_waitv futex_wake
get_robust_list get_thread_area getcpu getegid geteuid getgid getgroups getpgid getpgrp getpid getppid
getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid ioprio_get pidfd_open prctl
restart_syscall rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
sched_getparam sched_getscheduler sched_rr_get_interval sched_yield set_robust_list set_tid_address setpgid
setrlimit setsid sysinfo uname vfork wait4 waitid
"""
SIGNALS_AND_TIME = """
alarm clock_getres clock_gettime clock_nanosleep getitimer getrandom gettimeofday kill nanosleep pause
pidfd_send_signal rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_tgsigqueueinfo setitimer sigaltstack signalfd signalfd4 tgkill time timer_create
timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times
tkill
"""
SOCKETS = """
accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg
sendmsg sendto shutdown
"""
NOT_HERE = """
io_uring_setup io_uring_enter io_uring_register memfd_secret landlock_create_ruleset statmount listmount
cachestat map_shadow_stack
"""
"""Programs that try these take ENOSYS as an answer and do without."""

NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWTIME."""

_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_STREAM, _DATAGRAM, _SOCKET_TYPE = 1, 2, 0xF
_TCP, _UDP = 6, 17
_PLAIN_SOCKET_OPTIONS = {
    "REUSEADDR": 2, "TYPE": 3, "ERROR": 4, "DONTROUTE": 5, "BROADCAST": 6, "SNDBUF": 7, "RCVBUF": 8,
    "KEEPALIVE": 9, "OOBINLINE": 10, "PRIORITY": 12, "LINGER": 13, "REUSEPORT": 15, "PASSCRED": 16,
    "RCVLOWAT": 18, "RCVTIMEO": 20, "SNDTIMEO": 21, "TIMESTAMP": 29, "TIMESTAMPNS": 35, "RXQ_OVFL": 40,
    "PASSPIDFD": 76,
}  # fmt: skip
"""Options of SOL_SOCKET; not the ones that attach a filter, which the kernel would compile."""
_OPTION_LEVELS = {"IP": 0, "UDP": 17, "IPv6": 41}
_UPPER_LAYER_PROTOCOL = 31
_NODES = {"regular file": 0x8000, "FIFO": 0x1000, "socket": 0xC000, "regular file by default": 0}
_NODE_TYPE = 0xF000


@dataclass(frozen=True)
class Compare:
    """One argument of a call. `masked` compares only those bits."""

    argument: int
    operator: str
    value: int
    masked: int | None = None

    def as_json(self) -> dict[str, Any]:
        if self.masked is None:
            return {"index": self.argument, "value": self.value, "op": f"SCMP_CMP_{self.operator}"}
        return {
            "index": self.argument,
            "value": self.masked,
            "valueTwo": self.value,
            "op": "SCMP_CMP_MASKED_EQ",
        }


@dataclass(frozen=True)
class Rule:
    """`refusal` None allows; else the calls fail with this error number."""

    why: str
    calls: tuple[str, ...]
    when: tuple[Compare, ...] = field(default=())
    refusal: int | None = None

    def as_json(self) -> dict[str, Any]:
        rule: dict[str, Any] = {
            "comment": self.why,
            "names": list(self.calls),
            "action": _ALLOW if self.refusal is None else _ERRNO,
        }
        if self.refusal is not None:
            rule["errnoRet"] = self.refusal
        if self.when:
            rule["args"] = [comparison.as_json() for comparison in self.when]
        return rule


def equal(argument: int, value: int) -> Compare:
    return Compare(argument, "EQ", value)


def bits(argument: int, mask: int, value: int) -> Compare:
    return Compare(argument, "MASKED_EQ", value, mask)


def rules() -> Iterator[Rule]:
    """Every rule, in the order of the profile."""
    plain = " ".join((FILES, DESCRIPTORS, MEMORY, PROCESSES, SIGNALS_AND_TIME, SOCKETS)).split()
    yield Rule("What interpreters, shells and their libraries need.", tuple(sorted(plain)))
    yield Rule(
        "Threads and processes, but no new namespace of any kind.", ("clone",), (bits(0, NEW_NAMESPACES, 0),)
    )
    yield Rule(
        "Its flags lie in memory, out of a filter's sight: callers fall back to clone.",
        ("clone3",),
        refusal=ENOSYS,
    )
    yield Rule(
        "Resource limits of the caller, never of its supervisor, which is the same user.",
        ("prlimit64",),
        (equal(0, 0),),
    )
    yield Rule(
        "Priority of the caller (PRIO_PROCESS, 0), never of its supervisor.",
        ("setpriority",),
        (equal(0, 0), equal(1, 0)),
    )
    yield from _socket_rules()
    for value, meaning in ((0, "PER_LINUX"), (0xFFFFFFFF, "query")):
        yield Rule(f"personality: {meaning}.", ("personality",), (equal(0, value),))
    for meaning, kind in _NODES.items():
        why = f"Nodes that are no devices: {meaning}."
        yield Rule(why, ("mknod",), (bits(1, _NODE_TYPE, kind),))
        yield Rule(why, ("mknodat",), (bits(2, _NODE_TYPE, kind),))
    yield Rule(
        "Callers that try these take ENOSYS as an answer and do without.",
        tuple(NOT_HERE.split()),
        refusal=ENOSYS,
    )


def _socket_rules() -> Iterator[Rule]:
    yield Rule("Sockets of the own sandbox: AF_UNIX.", ("socket", "socketpair"), (equal(0, _UNIX),))
    for name, family in (("AF_INET", _INET), ("AF_INET6", _INET6)):
        for kind, socket_type, number in (("TCP", _STREAM, _TCP), ("UDP", _DATAGRAM, _UDP)):
            # The type as well: without it protocol 0 would open SCTP and DCCP, and load their modules.
            for protocol in (0, number):
                yield Rule(
                    f"{name}, {kind} asked for as protocol {protocol}.",
                    ("socket",),
                    (equal(0, family), bits(1, _SOCKET_TYPE, socket_type), equal(2, protocol)),
                )
    yield Rule(
        "No netlink: name resolution and libraries do without where there is none.",
        ("socket",),
        (equal(0, _NETLINK),),
        refusal=EAFNOSUPPORT,
    )
    for name, number in _PLAIN_SOCKET_OPTIONS.items():
        yield Rule(f"Option SO_{name}.", ("setsockopt",), (equal(1, 1), equal(2, number)))
    for name, level in _OPTION_LEVELS.items():
        yield Rule(f"Options of {name}.", ("setsockopt",), (equal(1, level),))
    # Compared in 64 bits, of which the kernel takes 32: "greater than" could be met by bits that it drops.
    yield Rule(
        "Options of TCP below the one that puts another protocol over it.",
        ("setsockopt",),
        (equal(1, _TCP), Compare(2, "LT", _UPPER_LAYER_PROTOCOL)),
    )


def build_profile() -> dict[str, Any]:
    """The profile in the engine's JSON form, for every architecture that sandboxes run on."""
    return {
        "defaultAction": _ERRNO,
        "defaultErrnoRet": EPERM,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [rule.as_json() for rule in rules()],
    }


def profile_text() -> str:
    """The file's text: one rule a line, so that a change shows as one."""
    profile = build_profile()
    lines = ",\n".join(f"    {json.dumps(rule)}" for rule in profile.pop("syscalls"))
    head = json.dumps(profile, indent=2).removesuffix("\n}")
    return f'{head},\n  "syscalls": [\n{lines}\n  ]\n}}\n'


def main(paths: Sequence[str]) -> None:
    """Write the profile to each of the files."""
    for path in paths:
        Path(path).write_text(profile_text(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
