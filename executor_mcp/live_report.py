"""What a running executor says of itself to those who operate it: its programs, its pool, its burst tier.

Numbers, an image's digest, and the engine's own words; nothing of any program, agent or token.
"""

from __future__ import annotations

import os
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from executor_mcp.package_version import package_version
from executor_mcp.sandbox_reports import find_burst, find_pool

# What another release says besides is passed over.
_LENIENT = ConfigDict(frozen=True, from_attributes=True, extra="ignore")


class Bounds(BaseModel):
    """Of a container that waits: the image and the limits it was made with."""

    model_config = _LENIENT

    image: str
    memory_mb: int
    cpus: float
    pids: int
    disk_mb: int


class ClassNow(BaseModel):
    """What the pool has of one class. Every language of the image and every profile fits it."""

    model_config = _LENIENT

    kind: Bounds
    minimum: int
    ready: int
    launching: int
    taken: int
    waiting_callers: int


class PoolNow(BaseModel):
    """The warm pool; `served_*` and `failed_launches` are since the start, `launch_seconds` is a mean."""

    model_config = _LENIENT

    ready: int
    launching: int
    taken: int
    waiting_callers: int
    served_warm: int
    served_cold: int
    launch_seconds: float
    failed_launches: int
    last_failure: str | None
    problem: str | None
    kinds: tuple[ClassNow, ...]


class BurstNow(BaseModel):
    """The burst tier; `launched`, `executions` and `condemned` are since the start."""

    model_config = _LENIENT

    containers: int
    live: int
    launched: int
    executions: int
    condemned: int
    problem: str | None


class LiveReport(BaseModel):
    """One executor as it is now. `pool` and `burst` are None where it has none, or has not begun one."""

    model_config = _LENIENT

    process_id: int
    version: str
    started_at: datetime
    sandbox: str
    running: int
    places: int
    pool: PoolNow | None
    burst: BurstNow | None


def live_report(sandbox: object, *, name: str, running: int, places: int, started_at: datetime) -> LiveReport:
    """`name` is the sandbox's, `running` the programs of this process, `places` the most there can be."""
    pool, burst = find_pool(sandbox), find_burst(sandbox)
    tier = None if burst is None else burst.report()
    return LiveReport(
        process_id=os.getpid(),
        version=package_version(),
        started_at=started_at,
        sandbox=name,
        running=running,
        places=places,
        pool=None if pool is None else PoolNow.model_validate(pool.report()),
        burst=None if tier is None else BurstNow.model_validate(tier),
    )
