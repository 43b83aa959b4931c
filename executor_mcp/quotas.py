"""How much agents may run, and people may have run in their name, within a window of time. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

PrincipalKind = Literal["agent", "person"]


@dataclass(frozen=True, slots=True)
class Quota:
    """None is no bound. `concurrent` counts what was admitted and has not ended, waiting or running."""

    executions: int | None = None
    cpu_seconds: float | None = None
    concurrent: int | None = None

    @property
    def bounds_nothing(self) -> bool:
        return self.executions is None and self.cpu_seconds is None and self.concurrent is None


@dataclass(frozen=True, slots=True)
class QuotaRules:
    """What holds for each agent and each person, and for those named instead of that."""

    window_seconds: float = 3600.0
    each_agent: Quota = Quota()
    each_person: Quota = Quota()
    agents: Mapping[str, Quota] = field(default_factory=dict[str, Quota])
    people: Mapping[str, Quota] = field(default_factory=dict[str, Quota])

    def of(self, kind: PrincipalKind, name: str) -> Quota:
        if kind == "agent":
            return self.agents.get(name, self.each_agent)
        return self.people.get(name, self.each_person)

    @property
    def window(self) -> timedelta:
        return timedelta(seconds=self.window_seconds)


@dataclass(frozen=True, slots=True)
class Demand:
    """What an execution may cost at most: known before it runs, and held against the quota until it ended."""

    wall_seconds: float
    cpu_seconds: float


NO_DEMAND = Demand(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Use:
    """An execution that counts. `cpu_seconds` is what it took, or while that is not known what it may take.

    `ends_by` is None when it has ended.
    """

    at: datetime
    cpu_seconds: float
    ends_by: datetime | None


@dataclass(frozen=True, slots=True)
class Excess:
    """Why a quota lets nothing more through now. `retry_seconds` None: this program never fits."""

    text: str
    retry_seconds: float | None


def excess(
    quota: Quota, uses: Sequence[Use], demand: Demand, *, now: datetime, window: timedelta
) -> Excess | None:
    """What stands against one more execution; None when nothing does.

    After `retry_seconds` it would fit, as far as is known now and if nothing else is admitted until then.

    Args:
        uses: those within the window, and those that have not ended whenever they began.
    """
    found = [
        one
        for one in (
            _too_much_ever(quota, demand),
            _too_many_at_a_time(quota, uses, now),
            _too_many(quota, uses, now, window),
            _too_much(quota, uses, demand, now, window),
        )
        if one is not None
    ]
    if not found:
        return None
    # All of them have to pass, so the one that takes longest is the answer.
    return max(found, key=lambda one: float("inf") if one.retry_seconds is None else one.retry_seconds)


def _too_much_ever(quota: Quota, demand: Demand) -> Excess | None:
    if quota.cpu_seconds is None or demand.cpu_seconds <= quota.cpu_seconds:
        return None
    return Excess(
        f"this program may take up to {demand.cpu_seconds:g} CPU seconds (limits.wall_seconds and a second "
        f"of grace, times limits.cpus), more than the whole quota of {quota.cpu_seconds:g}; ask for approval "
        "with lower limits",
        None,
    )


def _too_many_at_a_time(quota: Quota, uses: Sequence[Use], now: datetime) -> Excess | None:
    ends = sorted(use.ends_by for use in uses if use.ends_by is not None)
    if quota.concurrent is None or len(ends) < quota.concurrent:
        return None
    freeing = ends[len(ends) - quota.concurrent] if quota.concurrent else None
    return Excess(
        f"{len(ends)} of at most {quota.concurrent} are under way or waiting",
        None if freeing is None else _seconds(freeing - now),
    )


def _too_many(quota: Quota, uses: Sequence[Use], now: datetime, window: timedelta) -> Excess | None:
    times = sorted(use.at for use in uses if use.at > now - window)
    if quota.executions is None or len(times) < quota.executions:
        return None
    freeing = times[len(times) - quota.executions] if quota.executions else None
    return Excess(
        f"{len(times)} of at most {quota.executions} executions within {window.total_seconds():g} s",
        None if freeing is None else _seconds(freeing + window - now),
    )


def _too_much(
    quota: Quota, uses: Sequence[Use], demand: Demand, now: datetime, window: timedelta
) -> Excess | None:
    if quota.cpu_seconds is None or demand.cpu_seconds > quota.cpu_seconds:
        return None
    counted = sorted((use for use in uses if use.at > now - window), key=lambda use: use.at)
    total = sum(use.cpu_seconds for use in counted)
    if total + demand.cpu_seconds <= quota.cpu_seconds:
        return None
    text = (
        f"{total:.1f} of {quota.cpu_seconds:g} CPU seconds within {window.total_seconds():g} s are used or "
        f"held, and this program may take up to {demand.cpu_seconds:g}"
    )
    left, freeing = total, now
    for use in counted:
        if left + demand.cpu_seconds <= quota.cpu_seconds:
            break
        left -= use.cpu_seconds
        freeing = use.at + window
    return Excess(text, _seconds(freeing - now))


def _seconds(wait: timedelta) -> float:
    return max(1.0, wait.total_seconds())
