"""Output and usage while they come: complete for whoever watches, and no dearer to keep than their bytes."""

from __future__ import annotations

import tracemalloc

from executor_mcp.live_output import LiveExecution, Position
from executor_mcp.sandbox.usage import UsageSample


def sample(wall_seconds: float, memory_bytes: int = 1) -> UsageSample:
    return UsageSample(wall_seconds, 0.1, memory_bytes, 1, None, None)


async def test_a_watcher_sees_everything_once_however_late_it_comes() -> None:
    live = LiveExecution()
    live.stdout(b"one ")
    live.stderr(b"oops")
    first = live.since(Position())
    seen = live.position
    live.stdout(b"two")

    assert {(piece.stream, piece.data) for piece in first} == {("stdout", b"one "), ("stderr", b"oops")}
    assert [(piece.stream, piece.offset, piece.data) for piece in live.since(seen)] == [("stdout", 4, b"two")]
    assert (live.so_far("stdout", 100), live.so_far("stderr", 3)) == (b"one two", b"oop")
    assert await live.wait(seen, 0)
    assert not await live.wait(live.position, 0)
    live.end()
    assert await live.wait(live.position, 0)


async def test_watchers_are_woken_by_usage_twice_a_second_and_its_peaks_are_kept() -> None:
    live = LiveExecution()
    numbers: list[int] = []
    for tick in range(41):
        live.usage(sample(0.05 * tick, memory_bytes=1000 - tick))
        numbers.append(live.position.usage)

    assert numbers[0] == 1
    assert numbers[-1] in (4, 5)
    assert live.latest_usage == sample(2.0, memory_bytes=960)
    assert live.peaks.memory_bytes == 1000


def test_output_that_comes_byte_by_byte_costs_little_more_than_its_bytes() -> None:
    live = LiveExecution()
    tracemalloc.start()
    try:
        for number in range(50_000):
            live.stdout(number.to_bytes(2, "big"))
            live.stderr(number.to_bytes(2, "big"))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 4 * 200_000
