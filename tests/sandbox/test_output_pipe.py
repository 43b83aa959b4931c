"""The executor's end of a program's output, beside a sandbox that does not keep its word."""

from __future__ import annotations

import os

import pytest

from executor_mcp.sandbox.frames import Frame, FrameKind
from executor_mcp.sandbox.pool.output import OutputPipe

PIPE_BYTES = 65536


async def test_what_is_in_the_pipe_at_the_end_is_counted_whole_and_kept_within_the_bound() -> None:
    delivered: list[Frame] = []
    pipe = OutputPipe(FrameKind.STDOUT, deliver=delivered.append, ask_to_drain=lambda: None)
    os.write(pipe.writer, bytes(PIPE_BYTES))
    pipe.pass_on()
    pipe.keep(1000)
    pipe.finish()
    pipe.close()
    assert (pipe.total, sum(len(frame.payload) for frame in delivered)) == (PIPE_BYTES, 1000)


@pytest.mark.timeout(20)
async def test_a_sandbox_that_goes_on_writing_after_its_end_does_not_hold_the_executor_up() -> None:
    def write_more(_: Frame) -> None:
        os.write(writer, bytes(PIPE_BYTES))

    pipe = OutputPipe(FrameKind.STDOUT, deliver=write_more, ask_to_drain=lambda: None)
    writer = os.dup(pipe.writer)
    os.write(writer, bytes(PIPE_BYTES))
    pipe.pass_on()
    pipe.keep(1 << 40)
    pipe.finish()
    pipe.close()
    os.close(writer)
    assert pipe.total == PIPE_BYTES
