"""Who owns a sandbox: a process, named so that another one can later tell whether it is gone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process of this host. Process numbers come again, hence the start time; and they mean nothing
    outside of one boot and one process namespace, hence `place`.
    """

    place: str
    process: int
    started: int

    @classmethod
    def current(cls) -> Owner:
        process = os.getpid()
        started = _start_time(process)
        assert started is not None
        return cls(_place(), process, started)

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        place, _, rest = text.partition("_")
        process, _, started = rest.partition("_")
        if not (place and process.isdigit() and started.isdigit()):
            return None
        return cls(place, int(process), int(started))

    def __str__(self) -> str:
        return f"{self.place}_{self.process}_{self.started}"

    def is_gone(self) -> bool:
        """False also where it cannot be told: another boot, another process namespace."""
        return self.place == _place() and _start_time(self.process) != self.started


def _place() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    return f"{boot[:16]}.{namespace}"


def _start_time(process: int) -> int | None:
    """In clock ticks since boot; None when there is no such process, or only its corpse."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])
