"""What a job's limits come to in a sandbox: bytes, inodes, processes and bounds on what is handed back."""

from __future__ import annotations

import math
import resource
from dataclasses import dataclass

from hitl_contract.action_code import Limits

MEBIBYTE = 1024 * 1024
SUPERVISOR_MEMORY_BYTES = 16 * MEBIBYTE
"""Added to the program's memory for the supervisor that shares its control group."""

MAX_RETURNED_FILES = 256
MAX_RETURNED_BYTES = 32 * MEBIBYTE
MAX_RESULT_BYTES = MEBIBYTE
"""A result is parsed on this side: eight MiB of empty arrays would be most of a GiB and hold everybody up."""

MAX_SCANNED_ENTRIES = 20_000
MAX_FOLDER_DEPTH = 32
MAX_OPEN_FILES = 1024
SHARED_MEMORY_BYTES = MEBIBYTE
"""Room under /dev/shm: enough for the semaphores of multiprocessing."""


@dataclass(frozen=True)
class Amounts:
    """Derived from `Limits` alone. Files are kept in memory and count against it.

    `disk_bytes` leaves room for the input, so that a program always has the `disk_mb` that was approved.
    """

    memory_bytes: int
    disk_bytes: int
    inodes: int
    processes: int
    cpus: float
    output_bytes: int
    result_bytes: int
    returned_bytes: int
    cpu_seconds: int

    @classmethod
    def of(cls, limits: Limits, input_bytes: int) -> Amounts:
        disk = limits.disk_mb * MEBIBYTE
        return cls(
            memory_bytes=limits.memory_mb * MEBIBYTE + SUPERVISOR_MEMORY_BYTES,
            disk_bytes=disk + _whole_pages(input_bytes),
            inodes=1024 + 64 * limits.disk_mb,
            processes=limits.pids + 1,
            cpus=limits.cpus,
            output_bytes=limits.output_kb * 1024,
            result_bytes=min(limits.output_kb * 1024, MAX_RESULT_BYTES),
            returned_bytes=min(disk, MAX_RETURNED_BYTES),
            cpu_seconds=math.ceil(limits.wall_seconds * max(limits.cpus, 1)) + 1,
        )

    def resource_limits(self, *, count_processes: bool, memory_per_process: bool) -> list[tuple[int, int]]:
        """Hard limits for the program, as (resource number, value).

        `count_processes` only where the kernel counts per sandbox and not per user; `memory_per_process`
        where no control group bounds memory. Data, not address space: JavaScript engines reserve far more
        than they use.
        """
        limits = [
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
            (resource.RLIMIT_FSIZE, self.disk_bytes),
            (resource.RLIMIT_CPU, self.cpu_seconds),
            (resource.RLIMIT_MEMLOCK, 65536),
        ]
        if count_processes:
            limits.append((resource.RLIMIT_NPROC, self.processes))
        if memory_per_process:
            limits.append((resource.RLIMIT_DATA, self.memory_bytes))
        return limits


def _whole_pages(size: int) -> int:
    """Room for input of this size in up to a hundred files, each of which takes whole pages."""
    return (math.ceil(size / 4096) + 200) * 4096
