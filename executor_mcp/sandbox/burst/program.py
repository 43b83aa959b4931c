"""The burst supervisor as one program, and the filters: its own, and the one that its programs get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executor_mcp.sandbox.languages.registry import Languages
from executor_mcp.sandbox.supervisor_program import program_of, sources_of

_MODULES = (
    "burst_kernel",
    "burst_outer",
    "supervisor_quick",
    "supervisor_wire",
    "supervisor_parts",
    "supervisor_files",
    "warm_handover",
    "warm_child",
    "warm_drivers",
    "warm_supervisor",
    "burst_execution",
    "burst_filter",
    "burst_supervisor",
)

_NAMESPACES = ("unshare", "setns", "clone")
_MOUNTS = ("mount", "umount2")
_USERS = ("setuid", "setgid", "setgroups", "setresuid", "setresgid", "setreuid", "setregid", "capset")
_FILTERS = ("seccomp",)
_NAMES = ("sethostname",)


def burst_program(languages: Languages, instructions: bytes) -> str:
    """Source text for the image's Python. `instructions`: the compiled filter of every program."""
    drivers = {driver.path: driver.source() for driver in languages.preloaded}
    return program_of(
        sources_of(_MODULES, languages),
        f"    if name == 'warm_drivers': sys.modules[name].DRIVERS.update({drivers!r})\n"
        f"    if name == 'burst_filter': sys.modules[name].INSTRUCTIONS = {instructions!r}\n",
    )


def outer_profile(profile: Mapping[str, Any]) -> dict[str, Any]:
    """The profile of the container: every program's, and what it takes to make namespaces and mounts.

    No program runs under this one alone; a second filter is laid over it before there is one.
    """
    added = {
        "comment": "The burst supervisor's: namespaces, mounts, users and the filter of its programs.",
        "names": sorted((*_NAMESPACES, *_MOUNTS, *_USERS, *_FILTERS, *_NAMES)),
        "action": "SCMP_ACT_ALLOW",
    }
    kept = [rule for rule in profile["syscalls"] if rule["names"] != ["clone"]]
    return {**profile, "syscalls": [*kept, added]}
