"""Following an execution: every byte once, from any position, at the reader's pace, from anywhere."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor_mcp.errors import ExecutionNotFound, InvalidArgument, TooManyReaders
from executor_mcp.execution_feed import (
    EndEvent,
    Event,
    OutputEvent,
    Readers,
    StatusEvent,
    UsageEvent,
    follow,
)
from executor_mcp.interface.events import event_documents, event_identifier, read_identifier
from executor_mcp.live_output import Chunk, Position
from executor_mcp.tools.following import follow as follow_as_a_call
from server_kit.database.base import Database
from tests.executor.support import Bench, TwinSandbox, bench, eventually, outcome
from tests.executor.test_live_output import sample


async def gather(events: AsyncGenerator[tuple[Event, Position]]) -> list[Event]:
    return [event async for event, _ in events]


def output(events: list[Event]) -> bytes:
    return b"".join(event.chunk.data for event in events if isinstance(event, OutputEvent))


async def begin(made: Bench) -> str:
    """An execution whose program runs until its test ends it."""
    made.sandbox.hold = True
    execution_id = await made.executor.service.execute(made.issuer.token(), None)
    await eventually(lambda: bool(made.sandbox.runs))
    return execution_id


async def test_a_reader_gets_status_output_usage_and_the_end(ready: Bench) -> None:
    execution_id = await begin(ready)
    reading = asyncio.create_task(gather(follow(ready.executor.service, execution_id)))
    run = ready.sandbox.runs[0]
    run.sink.stdout(b"one ")
    await asyncio.sleep(0)
    run.sink.usage(sample(0.05))
    run.sink.stdout(b"two")
    run.end(outcome(stdout=b"one two"))
    events = await asyncio.wait_for(reading, 10)

    assert isinstance(events[0], StatusEvent)
    assert output(events) == b"one two"
    assert sample(0.05) in [event.sample for event in events if isinstance(event, UsageEvent)]
    assert isinstance(events[-1], EndEvent)
    assert events[-1].execution.outcome is not None


async def test_a_reader_goes_on_from_any_position_while_it_runs_and_after_the_end(ready: Bench) -> None:
    execution_id = await begin(ready)
    run = ready.sandbox.runs[0]
    run.sink.stdout(b"x" * 100_000)
    service = ready.executor.service
    now = asyncio.get_running_loop().time()

    assert output(await gather(follow(service, execution_id, Position(99_990), until=now))) == b"x" * 10
    # A position of an earlier life, beyond what is known now.
    assert output(await gather(follow(service, execution_id, Position(200_000), until=now))) == b""
    run.end(outcome(stdout=b"x" * 100_000))
    await service.get(execution_id, wait_seconds=10)
    for seen in (0, 99_990, 100_000, 200_000):
        events = await gather(follow(service, execution_id, Position(seen)))
        assert output(events) == b"x" * max(0, 100_000 - seen)
        assert all(len(e.chunk.data) <= 65_536 for e in events if isinstance(e, OutputEvent))
        assert isinstance(events[-1], EndEvent)


async def test_an_unknown_execution_and_too_many_readers_are_refused(ready: Bench) -> None:
    with pytest.raises(ExecutionNotFound):
        await gather(follow(ready.executor.service, "exe_" + "a" * 26))
    readers = Readers(most=2, most_of_one=1)
    with readers.one_more("a"), readers.one_more("b"):
        for execution_id in ("a", "c"):
            with pytest.raises(TooManyReaders, match="at most 1 and 2"), readers.one_more(execution_id):
                pass
    assert len(readers) == 0


async def test_what_runs_in_another_process_is_followed_through_the_database(
    store: Database, tmp_path: Path
) -> None:
    """Two executors on one database: the second one's readers see what the first one's program writes."""
    here, elsewhere = bench(store, tmp_path / "a"), bench(store, tmp_path / "b", sandbox=TwinSandbox())
    await here.executor.recovery.begin()
    execution_id = await begin(here)
    run = here.sandbox.runs[0]
    run.sink.stdout(b"so far ")
    run.sink.usage(sample(0.05, memory_bytes=77))
    seen: list[Event] = []
    async for event, _ in follow(elsewhere.executor.service, execution_id):
        seen.append(event)
        if isinstance(event, OutputEvent) and output(seen) == b"so far ":
            run.sink.stdout(b"and more")
        if output(seen) == b"so far and more":
            run.end(outcome(stdout=b"so far and more"))
    assert output(seen) == b"so far and more"
    assert isinstance(seen[-1], EndEvent)
    # The rows went with the end.
    assert await elsewhere.executor.service.stored_output(execution_id, Position()) == ()
    await here.executor.service.close()
    await here.executor.recovery.end()


async def test_a_call_with_a_progress_token_gets_output_and_usage_as_rising_progress(ready: Bench) -> None:
    told: list[tuple[float, str]] = []

    async def report_progress(progress: float, _total: float | None, message: str) -> None:
        told.append((progress, message))

    context: Any = SimpleNamespace(
        request_context=SimpleNamespace(meta={"progress_token": 1}), report_progress=report_progress
    )
    execution_id = await begin(ready)
    run = ready.sandbox.runs[0]
    calling = asyncio.create_task(follow_as_a_call(ready.executor.service, execution_id, context, None))
    await eventually(lambda: bool(told))
    run.sink.stdout(b"x" * 20_000)
    run.sink.usage(sample(0.05, memory_bytes=77))
    run.end(outcome())
    execution = await asyncio.wait_for(calling, 10)

    assert execution.outcome is not None
    kinds = [message.partition(": ")[0] for _, message in told]
    assert kinds == ["status", "stdout", "stdout", "usage"]
    assert json.loads(told[-1][1].removeprefix("usage: "))["memory_bytes"] == 77
    assert [progress for progress, _ in told] == sorted({progress for progress, _ in told})


@given(data=st.binary(max_size=40), text=st.text(max_size=40), cut=st.integers(0, 60))
def test_documents_carry_every_byte_whatever_the_output_is(data: bytes, text: str, cut: int) -> None:
    for content in (data, text.encode(), text.encode()[:cut]):
        documents = event_documents(OutputEvent(Chunk("stdout", 7, content)))
        pieces: list[tuple[Any, bytes]] = [
            (
                document["offset"],
                str(document["text"]).encode()
                if "text" in document
                else base64.b64decode(str(document["base64"])),
            )
            for _, document in documents
        ]
        assert b"".join(piece for _, piece in pieces) == content
        offset = 7
        for begins, piece in pieces:
            assert begins == offset
            offset += len(piece)


@given(stdout=st.integers(0, 10**15 - 1), stderr=st.integers(0, 10**15 - 1), ended=st.booleans())
def test_an_identifier_is_read_as_it_was_written(stdout: int, stderr: int, ended: bool) -> None:
    position = Position(stdout, stderr)
    assert read_identifier(event_identifier(position, ended=ended)) == (position, ended)


@pytest.mark.parametrize("text", ["", "1", "-1-0", "1-0-end-", "1e3-0", "١-٢", "1" * 16 + "-0", "1-0\n"])
def test_what_is_no_identifier_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Last-Event-ID"):
        read_identifier(text)
