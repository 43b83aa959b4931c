"""Finds what a sandbox can say of its warm pool and its burst tier, whatever it is wrapped in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable


class BoundsOfClass(Protocol):
    """What cannot be changed any more in a container that waits."""

    @property
    def image(self) -> str: ...
    @property
    def memory_mb(self) -> int: ...
    @property
    def cpus(self) -> float: ...
    @property
    def pids(self) -> int: ...
    @property
    def disk_mb(self) -> int: ...


class Containers(Protocol):
    """How many there are in each state, and how many calls wait for one."""

    @property
    def ready(self) -> int: ...
    @property
    def launching(self) -> int: ...
    @property
    def taken(self) -> int: ...
    @property
    def waiting_callers(self) -> int: ...


class ClassFigures(Containers, Protocol):
    """What a pool has of one class."""

    @property
    def kind(self) -> BoundsOfClass: ...
    @property
    def minimum(self) -> int: ...


class PoolFigures(Containers, Protocol):
    """What a pool says of itself."""

    @property
    def served_warm(self) -> int: ...
    @property
    def served_cold(self) -> int: ...
    @property
    def launch_seconds(self) -> float: ...
    @property
    def failed_launches(self) -> int: ...
    @property
    def last_failure(self) -> str | None: ...
    @property
    def problem(self) -> str | None: ...
    @property
    def kinds(self) -> Sequence[ClassFigures]: ...


class BurstFigures(Protocol):
    """What a burst tier says of itself."""

    @property
    def containers(self) -> int: ...
    @property
    def live(self) -> int: ...
    @property
    def launched(self) -> int: ...
    @property
    def executions(self) -> int: ...
    @property
    def condemned(self) -> int: ...
    @property
    def problem(self) -> str | None: ...


@runtime_checkable
class ReportsPool(Protocol):
    """A sandbox with a warm pool."""

    def report(self) -> PoolFigures: ...


@runtime_checkable
class ReportsBurst(Protocol):
    """A sandbox with a burst tier before another sandbox, which everything else runs in."""

    @property
    def ordinary(self) -> object: ...
    def report(self) -> BurstFigures | None: ...


@runtime_checkable
class Wraps(Protocol):
    """A sandbox that adds to another one."""

    @property
    def inner(self) -> object: ...


def find_burst(sandbox: object) -> ReportsBurst | None:
    """None where there is no burst tier."""
    while isinstance(sandbox, Wraps):
        sandbox = sandbox.inner
    return sandbox if isinstance(sandbox, ReportsBurst) else None


def find_pool(sandbox: object) -> ReportsPool | None:
    """None where there is no warm pool."""
    while isinstance(sandbox, Wraps):
        sandbox = sandbox.inner
    if isinstance(sandbox, ReportsBurst):
        return find_pool(sandbox.ordinary)
    return sandbox if isinstance(sandbox, ReportsPool) else None
