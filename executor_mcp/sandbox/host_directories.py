"""Directories of the host that a sandbox sees, read-only: package layers and the door of its network.

They are given to the engine or to bwrap when the sandbox is made; a job with one is never run in a sandbox
that was made before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from executor_mcp.sandbox.base import SandboxJob

LAYERS = "/opt/packages"
DOOR = "/opt/network"
DOOR_SOCKET = "door"


@dataclass(frozen=True, slots=True)
class HostDirectory:
    """`source` on the host is `target` in the sandbox, and cannot be written there."""

    source: Path
    target: str


def layer_directories(job: SandboxJob) -> tuple[HostDirectory, ...]:
    return tuple(
        HostDirectory(layer.directory, f"{LAYERS}/{number}") for number, layer in enumerate(job.layers)
    )


def host_directories(job: SandboxJob) -> tuple[HostDirectory, ...]:
    door = () if job.egress is None else (HostDirectory(job.egress.directory, DOOR),)
    return (*layer_directories(job), *door)
