"""System calls that Python has no function for. Part of the burst supervisor's source.

Standard library only, Python 3.9 or later: it is run by the sandbox's Python.
"""

from __future__ import annotations

import ctypes
import os

NEW_MOUNTS, NEW_GROUPS, NEW_NAMES, NEW_IPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEW_USERS, NEW_PROCESSES, NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000

READ_ONLY, NO_SETUID, NO_DEVICES, NO_PROGRAMS = 1, 2, 4, 8
REMOUNT, BIND, MOVE, RECURSIVE, PRIVATE = 32, 4096, 8192, 16384, 1 << 18
PLAIN = NO_SETUID | NO_DEVICES | NO_PROGRAMS

_SET_DUMPABLE, _KEEP_CAPABILITIES, _SETGID, _SETUID = 4, 8, 6, 7
_SET_SECCOMP, _FILTER = 22, 2
_DROP_FROM_BOUNDING_SET, _SET_NO_NEW_PRIVILEGES = 24, 38
_CAPABILITY_VERSION = 0x20080522


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


class Kernel:
    """All methods raise OSError, which names the call."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._unshare = library.unshare
        self._setns = library.setns
        self._capset = library.capset
        self._mount = library.mount
        self._mount.argtypes = [*[ctypes.c_char_p] * 3, ctypes.c_ulong, ctypes.c_char_p]
        self._control = library.prctl
        self._control.argtypes = [ctypes.c_ulong] * 5
        # Made here, once: what an execution's process touches first it has to copy.
        self._header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
        self._none = (ctypes.c_uint32 * 6)()
        with open("/proc/sys/kernel/cap_last_cap") as file:
            self._capabilities = range(int(file.read()) + 1)

    def unshare(self, namespaces: int) -> None:
        _check("unshare", self._unshare(namespaces))

    def join(self, descriptor: int, namespace: int) -> None:
        _check("setns", self._setns(descriptor, namespace))

    def mount(self, source: bytes, target: bytes, kind: bytes, flags: int, options: bytes = b"") -> None:
        _check("mount", self._mount(source, target, kind, flags, options))

    def bind(self, source: bytes, target: bytes) -> None:
        self.mount(source, target, b"", BIND)

    def make_read_only(self, target: bytes, flags: int) -> None:
        self.mount(b"", target, b"", REMOUNT | BIND | READ_ONLY | flags)

    def give_up_capabilities(self) -> None:
        """All of them, and the way to any: also in the bounding set."""
        control = self._control
        for capability in self._capabilities:
            if control(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0):
                _check("prctl", -1)
        _check("prctl", control(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _check("capset", self._capset(self._header, self._none))

    def be_dumpable(self) -> None:
        _check("prctl", self._control(_SET_DUMPABLE, 1, 0, 0, 0))

    def change_user_and_keep(self, user: int) -> None:
        """Becomes the user without losing the capabilities to map users."""
        _check("prctl", self._control(_KEEP_CAPABILITIES, 1, 0, 0, 0))
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        both = 1 << _SETGID | 1 << _SETUID
        _check("capset", self._capset(self._header, (ctypes.c_uint32 * 6)(both, both, 0, 0, 0, 0)))

    def filter_calls(self, instructions: bytes) -> None:
        """From here on this process and all that come of it make no other calls. Cannot be undone."""
        program = _FilterProgram(len(instructions) // 8, instructions)
        _check("prctl", self._control(_SET_SECCOMP, _FILTER, ctypes.addressof(program), 0, 0))


def _check(name: str, answer: int) -> None:
    if answer == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
