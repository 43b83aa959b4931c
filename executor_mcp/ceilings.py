"""The largest value of each limit: of an executor as a whole, and of each profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hitl_contract.action_code import Limits, Profile


@dataclass(frozen=True)
class Ceilings:
    """The largest value of each limit that an action may ask for."""

    wall_seconds: float = 300.0
    memory_mb: int = 2048
    cpus: float = 4.0
    pids: int = 256
    disk_mb: int = 1024
    output_kb: int = 8192

    def exceeded(self, limits: Limits) -> tuple[tuple[str, float, float], ...]:
        """(name, value, ceiling) of each limit that is above its ceiling."""
        pairs = (
            ("wall_seconds", limits.wall_seconds, self.wall_seconds),
            ("memory_mb", limits.memory_mb, self.memory_mb),
            ("cpus", limits.cpus, self.cpus),
            ("pids", limits.pids, self.pids),
            ("disk_mb", limits.disk_mb, self.disk_mb),
            ("output_kb", limits.output_kb, self.output_kb),
        )
        return tuple((name, value, ceiling) for name, value, ceiling in pairs if value > ceiling)

    def within(self, other: Ceilings) -> Ceilings:
        """The lower of both, limit by limit."""
        return Ceilings(
            wall_seconds=min(self.wall_seconds, other.wall_seconds),
            memory_mb=min(self.memory_mb, other.memory_mb),
            cpus=min(self.cpus, other.cpus),
            pids=min(self.pids, other.pids),
            disk_mb=min(self.disk_mb, other.disk_mb),
            output_kb=min(self.output_kb, other.output_kb),
        )


PROFILE_CEILINGS: Final[Mapping[Profile, Ceilings | None]] = {
    Profile.RESTRICTED: Ceilings(
        wall_seconds=120, memory_mb=1024, cpus=2, pids=128, disk_mb=256, output_kb=4096
    ),
    Profile.STANDARD: Ceilings(),
    Profile.TRUSTED: None,
}
"""What a profile may ask for at most, besides the executor's own ceilings; None: those alone.

A profile never changes how a program is shut in: every one has the same sandbox.
"""
