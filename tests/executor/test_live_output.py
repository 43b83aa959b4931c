"""Output while it comes: complete for whoever watches, and no dearer to keep than its bytes."""

from __future__ import annotations

import tracemalloc

from executor_mcp.live_output import LiveExecution, Position


async def test_a_watcher_sees_everything_once_however_late_it_comes() -> None:
    live = LiveExecution()
    live.stdout(b"one ")
    live.stderr(b"oops")
    first = live.since(Position())
    seen = live.position
    live.stdout(b"two")

    assert {(piece.stream, piece.data) for piece in first} == {("stdout", b"one "), ("stderr", b"oops")}
    assert [(piece.stream, piece.data) for piece in live.since(seen)] == [("stdout", b"two")]
    assert (live.so_far("stdout"), live.so_far("stderr")) == (b"one two", b"oops")
    assert await live.wait(seen, 0)
    assert not await live.wait(live.position, 0)
    live.end()
    assert await live.wait(live.position, 0)


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
