"""The system calls a sandbox may make: one profile, in the engine's JSON form, also compiled for bubblewrap.

`seccomp.json` beside this module starts from deny. Compiling binds to libseccomp (the C library, version 2)
with ctypes, because its Python binding is not on the package index.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
from importlib import resources
from pathlib import Path
from typing import Any, cast

from executor_mcp.sandbox.errors import SandboxUnavailable

_ACTIONS = {"SCMP_ACT_ERRNO": 0x00050000, "SCMP_ACT_ALLOW": 0x7FFF0000, "SCMP_ACT_KILL_PROCESS": 0x80000000}
_COMPARISONS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
_ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
_UNKNOWN_CALL = -1
_EPERM = 1


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def load_profile(path: Path | None = None) -> dict[str, Any]:
    """The profile as a JSON object, for this machine's architecture alone. Raises SandboxUnavailable."""
    source = path if path is not None else resources.files("executor_mcp.sandbox") / "seccomp.json"
    try:
        profile = cast("dict[str, Any]", json.loads(source.read_text(encoding="utf-8")))
        if profile["defaultAction"] != "SCMP_ACT_ERRNO":
            raise ValueError("its defaultAction is not SCMP_ACT_ERRNO")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SandboxUnavailable(f"the seccomp profile {source} cannot be used: {error}") from error
    architecture = _ARCHITECTURES.get(platform.machine())
    if architecture is not None:
        # Three architectures would be compiled otherwise, for each container anew.
        profile["architectures"] = [architecture]
    return profile


def gvisor_profile(profile: dict[str, Any]) -> dict[str, Any]:
    """The profile as gVisor can keep it: it answers every refusal with EPERM, also where ENOSYS is asked for.

    Threads need clone3 then, because callers fall back to clone on ENOSYS alone; the namespaces that clone3
    could make are those of gVisor's own kernel.
    """
    allow_clone3 = {"comment": "See above.", "names": ["clone3"], "action": "SCMP_ACT_ALLOW"}
    kept = [rule for rule in profile["syscalls"] if rule["names"] != ["clone3"]]
    return {**profile, "syscalls": [*kept, allow_clone3]}


def compile_profile(profile: dict[str, Any]) -> bytes:
    """The profile as a BPF program for `bwrap --seccomp`. Raises SandboxUnavailable."""
    library = _library()
    context = library.seccomp_init(_ACTIONS["SCMP_ACT_ERRNO"] | _EPERM)
    if not context:
        raise SandboxUnavailable("libseccomp could not be initialised")
    try:
        for rule in profile["syscalls"]:
            _add_rule(library, context, rule)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def _add_rule(library: ctypes.CDLL, context: int, rule: dict[str, Any]) -> None:
    action = _ACTIONS[rule["action"]]
    if rule["action"] == "SCMP_ACT_ERRNO":
        action |= rule.get("errnoRet", _EPERM)
    comparisons = [
        _Comparison(
            argument["index"], _COMPARISONS[argument["op"]], argument["value"], argument.get("valueTwo", 0)
        )
        for argument in rule.get("args") or ()
    ]
    array = (_Comparison * len(comparisons))(*comparisons)
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _UNKNOWN_CALL:
            # Newer than this library; left out, it falls under the profile's refusal.
            continue
        failure = library.seccomp_rule_add_array(context, action, number, len(comparisons), array)
        if failure:
            raise SandboxUnavailable(f"libseccomp refused the rule for {name}: {os.strerror(-failure)}")


def _export(library: ctypes.CDLL, context: int) -> bytes:
    descriptor = os.memfd_create("seccomp")
    try:
        failure = library.seccomp_export_bpf(context, descriptor)
        if failure:
            raise SandboxUnavailable(f"libseccomp could not write the filter: {os.strerror(-failure)}")
        size = os.lseek(descriptor, 0, os.SEEK_END)
        return os.pread(descriptor, size, 0)
    finally:
        os.close(descriptor)


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise SandboxUnavailable(
            "libseccomp.so.2 is missing; install it (apt-get install libseccomp2)"
        ) from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return library
