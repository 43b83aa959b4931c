"""What hostile Python programs share: naming a success, and system calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable

libc = ctypes.CDLL(None, use_errno=True)
ARM = platform.machine() == "aarch64"

# x86_64, then aarch64; one number where both have the same.
NUMBERS: dict[str, tuple[int, int] | int] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": 435,
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsmount": 432,
    "fsopen": 430,
    "init_module": (175, 105),
    "io_setup": (206, 0),
    "io_uring_setup": 425,
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "landlock_create_ruleset": 444,
    "lookup_dcookie": (212, 18),
    "mbind": (237, 235),
    "memfd_create": (319, 279),
    "memfd_secret": 447,
    "migrate_pages": (256, 238),
    "mknodat": (259, 33),
    "mount": (165, 40),
    "mount_setattr": 442,
    "move_mount": 429,
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": 428,
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": 438,
    "pidfd_open": 434,
    "pivot_root": (155, 41),
    "process_madvise": 440,
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "sched_setattr": (314, 274),
    "sched_setscheduler": (144, 119),
    "seccomp": (317, 277),
    "semget": (64, 190),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "shmget": (29, 194),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "timer_create": (222, 107),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
    "vmsplice": (278, 75),
}


def system_call(name: str, *arguments: object) -> int:
    """The kernel's answer. Raises OSError."""
    number = NUMBERS[name]
    if isinstance(number, tuple):
        number = number[ARM]
    return raw_call(number, *arguments)


def raw_call(number: int, *arguments: object) -> int:
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    libc.syscall.restype = ctypes.c_long
    answer: int = libc.syscall(ctypes.c_long(number), *words)
    if answer == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return answer


def breach(what: object) -> None:
    print(f"BREACH: {what}", flush=True)  # noqa: T201


def must_fail(what: str, action: Callable[[], object]) -> None:
    """The system has to refuse it."""
    try:
        value = action()
    except (OSError, ValueError):
        return
    breach(f"{what}: {value!r}"[:500])


def must_be_blocked(name: str, *arguments: object) -> None:
    """Refused by the filter, not for its arguments: EPERM, or ENOSYS where callers ask for it."""
    try:
        value: object = system_call(name, *arguments)
    except PermissionError:
        return
    except OSError as error:
        if error.errno == 38:
            return
        value = error
    breach(f"{name}: {value!r}")


def held() -> None:
    print("held", flush=True)  # noqa: T201
