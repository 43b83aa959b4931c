"""Which programs a waiting container fits: it was made with bounds that cannot be changed any more.

What is bound when the program comes does not split classes: wall time, output, processor seconds. Nor do
languages and profiles: a waiting container has every interpreter of the image and the hardening of
`restricted`, which is the tightest.
"""

from __future__ import annotations

from dataclasses import dataclass

from executor_mcp.sandbox.amounts import Amounts
from executor_mcp.sandbox.base import SandboxJob
from executor_mcp.sandbox.host_directories import host_directories
from hitl_contract.action_code import Limits

INPUT_BYTES = 512 * 1024
"""Room beside `disk_mb` for the program and its input; what has more gets a container of its own."""


@dataclass(frozen=True, slots=True)
class WarmClass:
    """Bounds that are part of a container, and the image it is made from."""

    image: str
    memory_mb: int
    cpus: float
    pids: int
    disk_mb: int

    @classmethod
    def of(cls, image: str, limits: Limits) -> WarmClass:
        return cls(image, limits.memory_mb, limits.cpus, limits.pids, limits.disk_mb)

    @property
    def amounts(self) -> Amounts:
        limits = Limits(memory_mb=self.memory_mb, cpus=self.cpus, pids=self.pids, disk_mb=self.disk_mb)
        return Amounts.of(limits, INPUT_BYTES)

    @staticmethod
    def fits(job: SandboxJob, input_bytes: int) -> bool:
        """Whether the job's input fits beside its files, and nothing has to be mounted for it."""
        return input_bytes <= INPUT_BYTES and not host_directories(job)


@dataclass(frozen=True, slots=True)
class ClassReport:
    """What the pool has of one class now; `minimum` of it always wait."""

    kind: WarmClass
    minimum: int
    ready: int
    launching: int
    taken: int
    waiting_callers: int
