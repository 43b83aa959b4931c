"""What a program uses while it runs: samples of its processor time, memory, processes and input and output.

A sample is for people and programs that watch, and its largest values go into the record of the run. No bound
is held by it. A run that is over before the first sample costs one timer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

SAMPLE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 0.5

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class UsageReading:
    """What a meter says now. None where it cannot measure; `peak_memory_bytes` where the kernel keeps it."""

    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    peak_memory_bytes: int | None = None
    processes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class UsageSample:
    """One moment of a run. Processor time and bytes are totals since the start; the other two are of now.

    `processes` counts threads too. `read_bytes` and `written_bytes` are of disks: the work directory is in
    memory.
    """

    wall_seconds: float
    cpu_seconds: float | None
    memory_bytes: int | None
    processes: int | None
    read_bytes: int | None
    written_bytes: int | None


@dataclass(frozen=True, slots=True)
class UsagePeaks:
    """The largest of all samples; all None for a run that was over before the first."""

    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None

    def with_reading(self, reading: UsageReading) -> UsagePeaks:
        return UsagePeaks(
            cpu_seconds=_larger(self.cpu_seconds, reading.cpu_seconds),
            memory_bytes=_larger(self.memory_bytes, _larger(reading.memory_bytes, reading.peak_memory_bytes)),
            processes=_larger(self.processes, reading.processes),
            read_bytes=_larger(self.read_bytes, reading.read_bytes),
            written_bytes=_larger(self.written_bytes, reading.written_bytes),
        )

    def with_sample(self, sample: UsageSample) -> UsagePeaks:
        return self.with_reading(
            UsageReading(
                cpu_seconds=sample.cpu_seconds,
                memory_bytes=sample.memory_bytes,
                processes=sample.processes,
                read_bytes=sample.read_bytes,
                written_bytes=sample.written_bytes,
            )
        )


class UsageMeter(Protocol):
    """Reads one sandbox from outside."""

    async def read(self) -> UsageReading | None:
        """None when the sandbox is gone. Takes well under a millisecond of the event loop."""
        ...

    def close(self) -> None: ...


class UsageSampler:
    """Samples one run every 50 ms, more seldom where reading takes more than half of that time."""

    def __init__(
        self, find: Callable[[], Awaitable[UsageMeter | None]], tell: Callable[[UsageSample], None]
    ) -> None:
        self._find = find
        self._tell = tell
        self._began = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._meter: UsageMeter | None = None
        self._peaks = UsagePeaks()

    def begin(self) -> None:
        self._began = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(SAMPLE_SECONDS, self._start)

    async def stop(self) -> UsagePeaks:
        """The peaks, with a last reading where there was a first; while the sandbox still exists."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is None:
            return self._peaks
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._meter is not None:
            await asyncio.gather(self._sample(self._meter), return_exceptions=True)
            self._meter.close()
            self._meter = None
        return self._peaks

    def _start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        self._meter = await self._find()
        while self._meter is not None:
            began = time.monotonic()
            if not await self._sample(self._meter):
                return
            spent = time.monotonic() - began
            await asyncio.sleep(max(SAMPLE_SECONDS - spent, min(spent, _LONGEST_PAUSE_SECONDS)))

    async def _sample(self, meter: UsageMeter) -> bool:
        reading = await meter.read()
        if reading is None:
            return False
        self._peaks = self._peaks.with_reading(reading)
        self._tell(
            UsageSample(
                wall_seconds=time.monotonic() - self._began,
                cpu_seconds=reading.cpu_seconds,
                memory_bytes=reading.memory_bytes,
                processes=reading.processes,
                read_bytes=reading.read_bytes,
                written_bytes=reading.written_bytes,
            )
        )
        return True


def _larger(one: Number | None, other: Number | None) -> Number | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
