"""One run, the same over every backend: hands the program over, keeps its bounds, and reports how it ended.

Every bound is held here, on the outside, whatever the supervisor in the sandbox says or does:

1. the wall limit: STOP, a short grace for what can still be saved, then the kill; and so a cancel of a run
   of more than a second, in less than half of one;
2. the bytes of output, result and files: more than was agreed is a broken sandbox and ends the run;
3. the time to hand files back;
4. an outcome only when nothing is alive: the backend's kill has returned.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from executor_mcp.sandbox.amounts import MAX_RETURNED_FILES, Amounts
from executor_mcp.sandbox.base import OutputSink, ResourceUsage, SandboxOutcome, Termination
from executor_mcp.sandbox.checkpoints import CheckpointWatch
from executor_mcp.sandbox.frames import Frame, FrameError, FrameKind, decode_file_header, encode_frame
from executor_mcp.sandbox.results import BoundedBuffer, FileReceiver, checked_result
from executor_mcp.sandbox.usage import UsageMeter, UsagePeaks, UsageSampler

STOP_GRACE_SECONDS = 1.0
CANCEL_GRACE_SECONDS = 0.4
LONG_RUN_SECONDS = 1.0
SHORT_CANCEL_GRACE_SECONDS = 0.05
COLLECT_SECONDS = 10.0
_FRAMES_AT_A_TIME = 64
_QUICKLY_PARSED_BYTES = 4096
_SIGKILL = int(signal.SIGKILL)
_REPORT_FOR_REHEARSAL = (
    b'{"exit_code": 0, "signal": null, "memory_exceeded": false, "processes_exceeded": false, '
    b'"memory_kills": 0, "peak_memory_bytes": 1, "cpu_seconds": 0.1, "stdout_bytes": 0, "stderr_bytes": 0, '
    b'"result_bytes": 0}'
)


@dataclass(frozen=True)
class Aftermath:
    """What a backend knows of a sandbox that is gone; None and False where it knows nothing."""

    out_of_memory: bool = False
    peak_memory_bytes: int | None = None
    cpu_seconds: float | None = None
    detail: str | None = None


class Channel(Protocol):
    """A sandbox whose supervisor is ready. Implemented by each backend."""

    async def read_frame(self) -> Frame | None:
        """Raises FrameError; None when the sandbox is gone."""
        ...

    def send(self, data: bytes) -> None:
        """Never blocks, never raises for a sandbox that is gone."""
        ...

    async def meter(self) -> UsageMeter | None:
        """None where it cannot be measured from outside. Asked once, and only of a run that lasts.

        From then on the run gives way to others, where there is a control group to say so.
        """
        ...

    async def kill(self) -> None:
        """Kills everything; returns when nothing is alive."""
        ...

    async def remove(self) -> Aftermath:
        """Removes what is left after `kill`."""
        ...


class _Exit(BaseModel):
    """The EXITED frame."""

    model_config = ConfigDict(frozen=True)

    exit_code: int | None
    signal: int | None = Field(ge=1, le=64)
    memory_exceeded: bool
    processes_exceeded: bool
    memory_kills: int = Field(ge=0)
    peak_memory_bytes: int = Field(ge=0)
    cpu_seconds: float = Field(ge=0)
    stdout_bytes: int = Field(ge=0)
    stderr_bytes: int = Field(ge=0)
    result_bytes: int = Field(ge=0)


class _End(BaseModel):
    """The END frame."""

    files_truncated: bool


class SupervisedRun:
    """Implements `SandboxRun`. The run lives in a task of its own: no waiter's cancellation reaches it."""

    def __init__(self, channel: Channel, amounts: Amounts, wall_seconds: float, sink: OutputSink) -> None:
        self._channel = channel
        self._amounts = amounts
        self._wall_seconds = wall_seconds
        self._sink = sink
        self._stdout = BoundedBuffer(amounts.output_bytes)
        self._stderr = BoundedBuffer(amounts.output_bytes)
        self._result = BoundedBuffer(amounts.result_bytes)
        self._files = FileReceiver(max_files=MAX_RETURNED_FILES, max_bytes=amounts.returned_bytes)
        self._exit: _Exit | None = None
        self._started_at = 0.0
        self._ended_at: float | None = None
        self._complete = False
        self._detail: str | None = None
        self._loop = asyncio.get_running_loop()
        self._verdict: Termination | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_receiving = True
        self._suffices: Callable[[], bool] = lambda: False
        self._waiters: list[asyncio.Future[SandboxOutcome]] = []
        self._task: asyncio.Task[SandboxOutcome] | None = None
        self._sampler = UsageSampler(self._meter, sink.usage)
        self._checkpoints = CheckpointWatch(channel.send, sink.checkpoint)
        self._peaks = UsagePeaks()

    def begin(self, ended: Callable[[SupervisedRun], None]) -> None:
        """Call once, when the program has been sent; `ended` is called when the run is over."""
        self._started_at = time.monotonic()
        self._sampler.begin()
        self._then(self._wall_seconds, self._wall_is_over)
        self._task = asyncio.create_task(self._drive())
        self._task.add_done_callback(self._pass_on_failure)
        self._task.add_done_callback(lambda _: ended(self))

    def rehearse(self) -> None:
        """Goes the way of the end while the sandbox is waking up: what was not used for a while is slow."""
        _parse(_REPORT_FOR_REHEARSAL, (0, 1))
        _End.model_validate_json(b'{"files_truncated": false}')
        self._outcome(None, Aftermath(), checked_result(b"null"))

    async def wait(self) -> SandboxOutcome:
        assert self._task is not None
        if self._task.done():
            return self._task.result()
        # Not the task itself: whoever waits hears of the end a turn of the loop earlier.
        waiter: asyncio.Future[SandboxOutcome] = self._loop.create_future()
        self._waiters.append(waiter)
        return await waiter

    async def cancel(self) -> None:
        if self._is_receiving and self._verdict != "cancelled":
            if self._verdict is not None or self._exit is not None:
                self._stop_receiving()
            elif time.monotonic() - self._started_at >= LONG_RUN_SECONDS:
                # What a long run leaves may be worth keeping, its checkpoint above all.
                self._stop("cancelled", CANCEL_GRACE_SECONDS)
            else:
                # The supervisor is faster than an engine, and than the kernel at taking namespaces apart.
                self._suffices = lambda: self._exit is not None
                self._stop("cancelled", SHORT_CANCEL_GRACE_SECONDS)
        await self.wait()

    def _wall_is_over(self) -> None:
        self._stop("timed_out", STOP_GRACE_SECONDS)

    def _stop(self, verdict: Termination, grace_seconds: float) -> None:
        self._verdict = verdict
        self._channel.send(encode_frame(FrameKind.STOP))
        self._then(grace_seconds, self._stop_receiving)

    def _stop_receiving(self) -> None:
        """Whatever has not come by now is not waited for."""
        if self._is_receiving and self._task is not None:
            self._is_receiving = False
            self._task.cancel()

    def _then(self, seconds: float, what: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, what)

    async def _drive(self) -> SandboxOutcome:
        broken: Termination | None = None
        try:
            broken = await self._receive()
        except asyncio.CancelledError:
            if self._is_receiving or self._task is None:
                raise
            self._task.uncancel()
        finally:
            self._is_receiving = False
            if self._timer is not None:
                self._timer.cancel()
            self._peaks = await self._sampler.stop()
            await self._checkpoints.stop()
            await self._channel.kill()
        aftermath = await self._channel.remove()
        result = self._whole_result()
        if len(result) <= _QUICKLY_PARSED_BYTES:
            result_json = checked_result(result)
        else:
            # In a thread: a program chooses what there is to parse.
            result_json = await asyncio.to_thread(checked_result, result)
        outcome = self._outcome(self._verdict or broken, aftermath, result_json)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(outcome)
        return outcome

    async def _meter(self) -> UsageMeter | None:
        """The first thing that is done for a run that lasts, and for no other."""
        self._checkpoints.begin()
        return await self._channel.meter()

    def _pass_on_failure(self, task: asyncio.Task[SandboxOutcome]) -> None:
        for waiter in self._waiters:
            if not waiter.done() and task.cancelled():
                waiter.cancel()
            elif not waiter.done() and (error := task.exception()) is not None:
                waiter.set_exception(error)

    async def _receive(self) -> Termination | None:
        """Takes frames until the last one; a termination when the sandbox broke a rule."""
        taken = 0
        try:
            while (frame := await self._channel.read_frame()) is not None:
                if not self._take(frame):
                    return "output_limit"
                taken += 1
                if taken % _FRAMES_AT_A_TIME == 0:
                    # What has arrived is read without waiting: a flood of small frames lets nobody in.
                    await asyncio.sleep(0)
                if frame.kind in (FrameKind.END, FrameKind.FAILED) or self._suffices():
                    break
        except FrameError as error:
            self._detail = f"the sandbox sent {error}"
            return "sandbox_failed"
        except Exception as error:
            # The sink's: a reader that cannot take the output must not leave the program running.
            self._detail = f"the output could not be passed on ({type(error).__name__})"
            return "sandbox_failed"
        return None

    def _take(self, frame: Frame) -> bool:
        match frame.kind:
            case FrameKind.STDOUT:
                return self._pass_on(self._stdout, self._sink.stdout, frame.payload)
            case FrameKind.STDERR:
                return self._pass_on(self._stderr, self._sink.stderr, frame.payload)
            case FrameKind.RESULT:
                return self._result.add(frame.payload)
            case FrameKind.EXITED:
                self._exit = _parse(frame.payload, frame.read_outside)
                if self._exit.processes_exceeded:
                    self._detail = "the program was ended because it had more processes than its limit"
                self._ended_at = time.monotonic()
                if self._verdict is None:
                    self._then(COLLECT_SECONDS, self._stop_receiving)
            case FrameKind.FILE:
                self._files.begin(*decode_file_header(frame.payload))
            case FrameKind.FILE_DATA:
                self._files.add(frame.payload)
            case FrameKind.CHECKPOINT:
                self._checkpoints.take(frame.payload)
            case FrameKind.END:
                self._complete = True
                self._files.truncated |= _End.model_validate_json(frame.payload).files_truncated
            case FrameKind.FAILED:
                self._detail = "the sandbox could not run the program: " + _one_line(frame.payload)
            case _:
                raise FrameError(f"an unexpected frame of type {frame.kind.name}")
        return True

    @staticmethod
    def _pass_on(buffer: BoundedBuffer, sink: Callable[[bytes], None], chunk: bytes) -> bool:
        fits = buffer.add(chunk)
        if fits:
            sink(chunk)
        return fits

    def _whole_result(self) -> bytes:
        """Nothing when the program wrote more than is kept: a beginning of JSON may be JSON too."""
        return b"" if "result" in self._over(self._exit) else self._result.content()

    def _outcome(
        self, verdict: Termination | None, aftermath: Aftermath, result_json: bytes | None
    ) -> SandboxOutcome:
        exit_report = self._exit
        ended_at = self._ended_at if self._ended_at is not None else time.monotonic()
        stdout, stderr = self._stdout.content(), self._stderr.content()
        termination, exit_code = self._termination(verdict, aftermath)
        over = self._over(exit_report)
        peaks = self._peaks
        reported_peak = exit_report.peak_memory_bytes if exit_report else None
        peak = aftermath.peak_memory_bytes or reported_peak or peaks.memory_bytes
        reported_cpu = exit_report.cpu_seconds if exit_report else None
        cpu = aftermath.cpu_seconds or reported_cpu or peaks.cpu_seconds
        produced = len(stdout) + len(stderr)
        return SandboxOutcome(
            termination=termination,
            exit_code=exit_code,
            stdout=stdout,
            stderr=stderr,
            truncated=bool(over) or termination == "output_limit",
            result_json=result_json,
            files=self._files.files(),
            files_truncated=self._files.truncated or not self._complete,
            usage=ResourceUsage(
                wall_seconds=ended_at - self._started_at,
                cpu_seconds=cpu,
                peak_memory_bytes=peak,
                output_bytes=exit_report.stdout_bytes + exit_report.stderr_bytes if exit_report else produced,
                peak_processes=peaks.processes,
                read_bytes=peaks.read_bytes,
                written_bytes=peaks.written_bytes,
            ),
            detail=self._detail
            or aftermath.detail
            or (f"too large to keep whole: {', '.join(over)}" if over else None),
        )

    def _termination(
        self, verdict: Termination | None, aftermath: Aftermath
    ) -> tuple[Termination, int | None]:
        if verdict is not None:
            return verdict, None
        if self._exit is None:
            return ("out_of_memory" if aftermath.out_of_memory else "sandbox_failed"), None
        number = self._exit.signal
        if self._exit.memory_exceeded:
            return "out_of_memory", 128 + _SIGKILL
        if number is None:
            return "exited", self._exit.exit_code
        out_of_memory = number == _SIGKILL and (self._exit.memory_kills > 0 or aftermath.out_of_memory)
        return ("out_of_memory" if out_of_memory else "signalled"), 128 + number

    def _over(self, exit_report: _Exit | None) -> list[str]:
        if exit_report is None:
            return []
        bounds = (
            ("stdout", exit_report.stdout_bytes, self._amounts.output_bytes),
            ("stderr", exit_report.stderr_bytes, self._amounts.output_bytes),
            ("result", exit_report.result_bytes, self._amounts.result_bytes),
        )
        return [name for name, size, bound in bounds if size > bound]


def _parse(payload: bytes, read_outside: tuple[int, int]) -> _Exit:
    try:
        reported = _Exit.model_validate_json(payload, strict=True)
    except ValidationError as error:
        raise FrameError("an exit report that cannot be read") from error
    if not any(read_outside):
        return reported
    out, err = read_outside
    return reported.model_copy(
        update={"stdout_bytes": reported.stdout_bytes + out, "stderr_bytes": reported.stderr_bytes + err}
    )


def _one_line(payload: bytes) -> str:
    text = " ".join(payload.decode("utf-8", "replace").split())
    return "".join(character for character in text if character.isprintable())[:300]
