"""What `doctor` shows people of an executor that runs here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from executor_mcp.live_report import BurstNow, ClassNow, LiveReport, PoolNow

POOL_COLUMNS: Final = ("Warm pool of", "Ready", "Launching", "Taken", "Waiting calls", "Kept", "What")
_SHOWN_DIGEST: Final = 19
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def summary(report: LiveReport) -> str:
    """One line for an executor."""
    age = (datetime.now(UTC) - report.started_at).total_seconds()
    return (
        f"process {report.process_id}, version {report.version}, up for {_age(age)}, {report.sandbox}: "
        f"{report.running} of {report.places} places taken"
    )


def pool_rows(report: LiveReport) -> list[tuple[str, ...]]:
    """A row for each class of which there is something, or somebody waits."""
    if report.pool is None:
        return []
    return [
        (
            f"process {report.process_id}",
            str(one.ready),
            str(one.launching),
            str(one.taken),
            str(one.waiting_callers),
            str(one.minimum),
            _what(one),
        )
        for one in report.pool.kinds
        if one.minimum or one.ready or one.launching or one.taken or one.waiting_callers
    ]


def pool_line(pool: PoolNow) -> str:
    text = (
        f"{pool.ready} warm, {pool.launching} launching, {pool.taken} taken, "
        f"{pool.waiting_callers} calls wait; served {pool.served_warm} warm and {pool.served_cold} cold, "
        f"{pool.launch_seconds:.1f} s to make one"
    )
    if pool.problem is not None:
        return f"{text}; it makes none now: {pool.problem}"
    if pool.last_failure is not None:
        return f"{text}; {pool.failed_launches} launches failed, the last: {pool.last_failure}"
    return text


def burst_line(burst: BurstNow) -> str:
    text = (
        f"{burst.live} programs in {burst.containers} containers; since the start {burst.executions} in "
        f"{burst.launched}, of which {burst.condemned} were given up"
    )
    return text if burst.problem is None else f"{text}; last problem: {burst.problem}"


def _what(one: ClassNow) -> str:
    kind = one.kind
    return (
        f"any language and profile, {kind.memory_mb} MB, {kind.cpus:g} processors, {kind.pids} processes, "
        f"{kind.disk_mb} MB of files, image {kind.image[:_SHOWN_DIGEST]}"
    )


def _age(seconds: float) -> str:
    for size, name in ((_DAY, "days"), (_HOUR, "hours"), (_MINUTE, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{max(0.0, seconds):.0f} seconds"
