"""Directories of the host that a sandbox sees, read-only: package layers and the door of its network.

They are given to the engine or to bwrap when the sandbox is made; a job with one is never run in a sandbox
that was made before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from executor_mcp.sandbox.base import SandboxJob

LAYERS = "/opt/packages"
MODULES = "/node_modules"
"""Where Node.js looks last, from whatever file."""

DOOR = "/opt/network"
DOOR_SOCKET = "door"


@dataclass(frozen=True, slots=True)
class HostDirectory:
    """`source` on the host is `target` in the sandbox, and cannot be written there."""

    source: Path
    target: str


def layer_directories(job: SandboxJob) -> tuple[HostDirectory, ...]:
    return tuple(
        HostDirectory(
            layer.directory, f"{LAYERS}/{number}" if layer.module is None else f"{MODULES}/{layer.module}"
        )
        for number, layer in enumerate(job.layers)
    )


def python_path(job: SandboxJob) -> str:
    """The layers that Python imports from."""
    return ":".join(one.target for one in layer_directories(job) if one.target.startswith(f"{LAYERS}/"))


def host_directories(job: SandboxJob) -> tuple[HostDirectory, ...]:
    door = () if job.egress is None else (HostDirectory(job.egress.directory, DOOR),)
    return (*layer_directories(job), *door)
