"""A sandbox taken over by its program can send anything: this side keeps its bounds and its names."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor_mcp.sandbox import checkpoints
from executor_mcp.sandbox.amounts import MAX_RETURNED_FILES, Amounts
from executor_mcp.sandbox.base import SandboxOutcome
from executor_mcp.sandbox.frames import (
    MAX_FRAME_BYTES,
    Frame,
    FrameError,
    FrameKind,
    encode_frame,
    read_frame,
)
from executor_mcp.sandbox.results import FileReceiver, checked_result, media_type, safe_path
from executor_mcp.sandbox.run import Aftermath, SupervisedRun
from hitl_contract.action_code import Limits
from tests.sandbox.support import Recorder

EXITED: dict[str, Any] = {
    "exit_code": 0,
    "signal": None,
    "memory_exceeded": False,
    "processes_exceeded": False,
    "memory_kills": 0,
    "peak_memory_bytes": 1,
    "cpu_seconds": 0.1,
    "stdout_bytes": 0,
    "stderr_bytes": 0,
    "result_bytes": 0,
}


class ScriptedChannel:
    """A channel whose sandbox sends these bytes and then says nothing more."""

    def __init__(self, data: bytes, *, ends: bool, aftermath: Aftermath) -> None:
        self._reader = asyncio.StreamReader()
        self._reader.feed_data(data)
        if ends:
            self._reader.feed_eof()
        self._aftermath = aftermath
        self.killed = 0

    async def read_frame(self) -> Frame | None:
        return await read_frame(self._reader)

    def send(self, data: bytes) -> None:
        """Nobody listens."""

    async def meter(self) -> None:
        """Nothing to be measured."""

    async def kill(self) -> None:
        self.killed += 1

    async def remove(self) -> Aftermath:
        assert self.killed
        return self._aftermath


async def outcome_of(
    *frames: bytes, ends: bool = True, wall_seconds: float = 5.0, aftermath: Aftermath | None = None
) -> SandboxOutcome:
    channel = ScriptedChannel(b"".join(frames), ends=ends, aftermath=aftermath or Aftermath())
    run = SupervisedRun(channel, Amounts.of(Limits(output_kb=1), 0), wall_seconds, Recorder())
    run.begin(lambda _: None)
    return await run.wait()


def exited(**changes: Any) -> bytes:
    return encode_frame(FrameKind.EXITED, json.dumps({**EXITED, **changes}).encode())


def end(*, truncated: bool = False) -> bytes:
    return encode_frame(FrameKind.END, json.dumps({"files_truncated": truncated}).encode())


def file_header(size: int, path: bytes) -> bytes:
    return encode_frame(FrameKind.FILE, struct.pack(">Q", size) + path)


async def test_more_output_than_the_bound_ends_the_run() -> None:
    chunk = encode_frame(FrameKind.STDOUT, b"x" * 1000)
    outcome = await outcome_of(chunk, chunk, ends=False)
    assert (outcome.termination, outcome.truncated, len(outcome.stdout)) == ("output_limit", True, 1000)


async def test_more_result_than_the_bound_ends_the_run() -> None:
    outcome = await outcome_of(encode_frame(FrameKind.RESULT, b"1" * 2000), ends=False)
    assert (outcome.termination, outcome.result_json) == ("output_limit", None)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" + struct.pack(">I", 1) + b"x",
        b"\x02" + struct.pack(">I", MAX_FRAME_BYTES + 1),
        b"\x02\xff\xff\xff\xff",
        encode_frame(FrameKind.JOB, b"{}"),
        encode_frame(FrameKind.READY, b"[]"),
        encode_frame(FrameKind.EXITED, b"{}"),
        encode_frame(FrameKind.EXITED, b"\xff"),
        encode_frame(FrameKind.END, b"[]"),
        exited(exit_code="0"),
        exited(cpu_seconds=-1),
        exited(signal=0),
        encode_frame(FrameKind.FILE, b"short"),
        encode_frame(FrameKind.FILE_DATA, b"unannounced"),
        encode_frame(FrameKind.CHECKPOINT, b"{}"),
        encode_frame(FrameKind.CHECKPOINT),
        file_header(2**62, b"huge"),
        file_header(5, b"a") + file_header(5, b"b"),
        file_header(1, b"a") + encode_frame(FrameKind.FILE_DATA, b"ab"),
    ],
)
async def test_what_no_supervisor_sends_is_a_failed_sandbox_at_once(data: bytes) -> None:
    outcome = await outcome_of(data, ends=False)
    assert outcome.termination == "sandbox_failed"
    assert outcome.detail is not None
    assert "\n" not in outcome.detail


async def test_a_checkpoint_is_passed_on_when_it_was_asked_for_is_whole_and_is_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoints, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "NEXT_SECONDS", 0.0)
    asked, told = asyncio.Queue[bytes](), asyncio.Queue[bytes]()
    watch = checkpoints.CheckpointWatch(asked.put_nowait, told.put_nowait)
    watch.begin()
    for pieces in ((b'{"half": ', b"1}", b""), (b"[1, ", b""), (b"",), (b"[NaN]", b""), (b"[2]", b"")):
        assert await asyncio.wait_for(asked.get(), 10) == encode_frame(FrameKind.LOOK)
        for piece in pieces:
            watch.take(piece)
    assert [await asyncio.wait_for(told.get(), 10) for _ in range(2)] == [b'{"half": 1}', b"[2]"]
    await asyncio.wait_for(asked.get(), 10)
    for _ in range(4):
        watch.take(b"x" * 65_536)
    with pytest.raises(FrameError, match="more than 256 KiB"):
        watch.take(b"x")
    watch.take(b"")
    with pytest.raises(FrameError, match="not asked for"):
        watch.take(b"x")
    await watch.stop()


async def test_a_sandbox_that_vanishes_is_told_apart_by_its_aftermath() -> None:
    assert (await outcome_of()).termination == "sandbox_failed"
    assert (await outcome_of(aftermath=Aftermath(out_of_memory=True))).termination == "out_of_memory"


async def test_silence_after_the_exit_report_keeps_the_exit_and_says_that_files_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("executor_mcp.sandbox.run.COLLECT_SECONDS", 0.05)
    outcome = await outcome_of(exited(exit_code=3), ends=False)
    assert (outcome.termination, outcome.exit_code, outcome.files_truncated) == ("exited", 3, True)


async def test_silence_from_the_start_is_ended_at_the_wall_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor_mcp.sandbox.run.STOP_GRACE_SECONDS", 0.05)
    outcome = await outcome_of(ends=False, wall_seconds=0.1)
    assert (outcome.termination, outcome.exit_code) == ("timed_out", None)


async def test_a_kill_for_want_of_memory_is_told_from_another_kill() -> None:
    assert (await outcome_of(exited(exit_code=None, signal=9), end())).termination == "signalled"
    starved = await outcome_of(exited(exit_code=None, signal=9, memory_kills=1), end())
    assert (starved.termination, starved.exit_code) == ("out_of_memory", 137)
    watched = await outcome_of(exited(exit_code=None, signal=9, memory_exceeded=True), end())
    assert watched.termination == "out_of_memory"


async def test_a_sandbox_that_says_why_it_failed_is_quoted_in_one_safe_line() -> None:
    outcome = await outcome_of(encode_frame(FrameKind.FAILED, b"no\x1b[2J such\ninterpreter"))
    assert outcome.detail == "the sandbox could not run the program: no[2J such interpreter"


def test_files_are_counted_and_a_repeated_or_unsafe_path_is_dropped() -> None:
    receiver = FileReceiver(max_files=MAX_RETURNED_FILES, max_bytes=10)
    for path in (b"a", b"a", b"../b", b"/etc/passwd", b"c/../../d", b""):
        receiver.begin(0, path)
    assert [file.path for file in receiver.files()] == ["a"]
    assert receiver.truncated
    with pytest.raises(FrameError, match="more files"):
        receiver.begin(11, b"big")


@given(st.binary(max_size=200))
def test_a_path_that_is_kept_is_relative_normal_and_printable(raw: bytes) -> None:
    path = safe_path(raw)
    if path is not None:
        assert path.encode() == raw
        assert path.isprintable()
        assert not path.startswith("/")
        assert not {"", ".", ".."} & set(path.split("/"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_a_json_result_keeps_its_value(value: Any) -> None:
    checked = checked_result(json.dumps(value).encode())
    assert checked is not None
    expected = json.loads(json.dumps(value))
    assert json.loads(checked) == expected


@pytest.mark.parametrize(
    "data", [b"", b"{", b"NaN", b"[" * 5000, b"[" * 100 + b"]" * 100, b"\xff", b"1" * 5000]
)
def test_a_result_that_is_no_json_or_too_deep_is_none(data: bytes) -> None:
    assert checked_result(data) is None


def test_a_lone_surrogate_in_a_result_is_replaced_because_it_has_no_utf_8() -> None:
    assert checked_result(b'"\\ud800x"') == b'"?x"'


def test_media_types_are_guessed_by_name_and_then_by_content() -> None:
    assert media_type("a.json", b"{}") == "application/json"
    assert media_type("a.py", b"") == "text/x-python"
    assert media_type("README", b"text") == "text/plain"
    assert media_type("blob", b"\x00\x01") == "application/octet-stream"


@given(st.binary(max_size=300))
def test_any_bytes_are_frames_an_end_or_a_frame_error(data: bytes) -> None:
    async def read_all() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        try:
            while (frame := await read_frame(reader)) is not None:
                assert len(frame.payload) <= MAX_FRAME_BYTES
        except FrameError:
            return

    asyncio.run(read_all())
