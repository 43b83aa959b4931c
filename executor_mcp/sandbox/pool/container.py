"""One warm container, from the moment its interpreter waits until it is handed back to be removed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

from executor_mcp.sandbox.control_groups import give_way, processor_group
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_container import was_out_of_memory
from executor_mcp.sandbox.errors import SandboxError
from executor_mcp.sandbox.frames import Frame, FrameError, FrameKind, encode_frame
from executor_mcp.sandbox.pool.control import ControlSocket
from executor_mcp.sandbox.pool.output import OutputPipe
from executor_mcp.sandbox.process_handle import ProcessHandle
from executor_mcp.sandbox.run import Aftermath
from executor_mcp.sandbox.supervised import interpreters_of
from executor_mcp.sandbox.usage import UsageMeter
from executor_mcp.sandbox.usage_meters import ControlGroupMeter

_MOST_WAITING_FRAMES = 64
_FEW_WAITING_FRAMES = 8
_DEATH_SECONDS = 5.0
_UNWATCHED_SECONDS = 0.005
_BEGIN_SECONDS = 10.0
_STREAMS = (FrameKind.STDOUT, FrameKind.STDERR)


class WarmContainer:
    """Implements `run.Channel`. Frames come over the control socket, output from the pipes that were passed.

    1. The first thing sent is OUTPUTS, with both ends of two pipes, and the writer of a third; the second is
       the job. Into the third goes a byte before the program is let go: without it nothing has run.
    2. STDOUT and STDERR frames are made here, of what the pipes had; from the sandbox they are refused.
    3. EXITED comes after everything that is in the pipes: by then nothing writes there any more.
    4. `kill` returns at once when the supervisor has reported the exit: it had killed everything.
    5. `kill` otherwise ends process 1, and with it the namespace, and waits until the kernel has done so.
    6. The pipes are looked after from `_UNWATCHED_SECONDS` on, or read at the end: who writes to a process
       that sleeps waits for it to be woken, which takes longer than many a program.
    """

    def __init__(
        self,
        engine: DockerEngine,
        container_id: str,
        *,
        connection: socket.socket,
        process: ProcessHandle | None,
        directory: Path,
        holder: str | None,
    ) -> None:
        self._engine = engine
        self.container_id = container_id
        self._process = process
        self.directory = directory
        self.holder = holder
        self.interpreters: frozenset[str] = frozenset()
        self._output_bytes = 0
        self._given = False
        self._pipes = [self._pipe(number, kind) for number, kind in enumerate(_STREAMS)]
        self._frames: deque[Frame] = deque()
        self._error: FrameError | None = None
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._begun: asyncio.Future[bool] = self._loop.create_future()
        self._start, start_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._timer: asyncio.TimerHandle | None = None
        self._settled = asyncio.Event()
        self._ended = False
        self._reported = False
        self._killed = False
        self._paused = False
        self._network_reported = False
        self._on_end: Callable[[], None] = lambda: None
        self._on_release: Callable[[], None] = lambda: None
        self._control = ControlSocket(connection, taken=self._taken, ended=self._control_ended)
        passed = [pipe.writer for pipe in self._pipes] + [pipe.reader for pipe in self._pipes]
        self._control.send(encode_frame(FrameKind.OUTPUTS), [*passed, start_writer])
        os.close(start_writer)
        for pipe in self._pipes:
            pipe.pass_on()

    @property
    def is_alive(self) -> bool:
        """Whether it can still be given a program, as far as is known: `begun` tells whether it could."""
        return not (self._ended or self._reported)

    @property
    def network_is_unchanged(self) -> bool:
        """By the supervisor's word, and without one where nothing was ever run."""
        return self._network_reported or not self._given

    def watch(self, *, ended: Callable[[], None], released: Callable[[], None]) -> None:
        """`ended` when it dies by itself, `released` when its run needs it no more."""
        self._on_end = ended
        self._on_release = released

    async def until_ready(self) -> None:
        """Reads the supervisor's READY. Raises SandboxUnavailable."""
        self.interpreters = await interpreters_of(self)

    def expect(self, output_bytes: int) -> None:
        """The bound on each stream of the job that is going to be sent."""
        self._output_bytes = output_bytes

    async def begun(self) -> bool:
        """False when it ended before the program was let go: then nothing of it has run. One may wait."""
        return await self._begun

    async def read_frame(self) -> Frame | None:
        while not self._frames:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            await self._wait_for_news()
        frame = self._frames.popleft()
        if self._paused and len(self._frames) < _FEW_WAITING_FRAMES:
            self._paused = False
            self._control.resume()
            for pipe in self._pipes:
                pipe.resume()
        return frame

    def send(self, data: bytes) -> None:
        if not self._given:
            self._given = True
            for pipe in self._pipes:
                pipe.keep(self._output_bytes)
            self._timer = self._loop.call_later(_UNWATCHED_SECONDS, self._watch)
        self._control.send(data)

    async def meter(self) -> UsageMeter | None:
        if self._process is None:
            return None
        meter = ControlGroupMeter.of_process(self._process.process)
        if meter is None:
            return None
        place = processor_group(self._process.process)
        if self._process.has_ended:
            # Its number may be another process's by now.
            meter.close()
            return None
        if place is not None:
            give_way(place)
        return meter

    async def kill(self) -> None:
        if self._reported:
            return
        lives = not self._ended if self._process is None else not self._process.has_ended
        self._killed = self._killed or lives
        if self._process is not None and not self._process.has_ended:
            # Somebody else's process: then the supervisor ends at the end of its socket.
            with contextlib.suppress(PermissionError):
                self._process.kill()
            self._control.close()
            if await self._process.wait(_DEATH_SECONDS):
                self._end()
                return
        if self._process is None or not self._process.has_ended:
            with contextlib.suppress(SandboxError):
                await self._engine.kill(self.container_id)
        self._end()

    async def remove(self) -> Aftermath:
        out_of_memory, detail = False, None
        if not self._reported and not self._killed:
            try:
                out_of_memory = await was_out_of_memory(self._engine, self.container_id, ended_alone=True)
            except SandboxError as error:
                detail = str(error)
        # Whoever waits for the outcome is let run first.
        self._loop.call_later(0, self._on_release)
        return Aftermath(out_of_memory=out_of_memory, detail=detail)

    async def settle(self, seconds: float) -> None:
        """Waits for the supervisor's word on the network namespace, where one is to be expected."""
        if self._reported:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._settled.wait()

    async def end(self) -> bool:
        """Ends process 1 and lets go of every descriptor. True when nothing of it is known to be alive."""
        ended = False
        if self._process is not None:
            with contextlib.suppress(PermissionError):
                self._process.kill()
            ended = await self._process.wait(_DEATH_SECONDS)
        self.close()
        return ended

    def close(self) -> None:
        """Kills what is left and lets go of every descriptor."""
        if self._process is not None:
            with contextlib.suppress(PermissionError):
                self._process.kill()
            self._process.close()
        self._end()

    def _pipe(self, number: int, kind: FrameKind) -> OutputPipe:
        return OutputPipe(
            kind, deliver=self._deliver, ask_to_drain=lambda: self._control.send(_drain(number))
        )

    def _taken(self, frame: Frame) -> None:
        if frame.kind is FrameKind.NETWORK:
            self._network_reported = frame.payload == b"true"
            self._settled.set()
        elif frame.kind in _STREAMS:
            raise FrameError("output among the frames")
        elif frame.kind is FrameKind.EXITED:
            if self._reported or not self._given:
                raise FrameError("an exit report of no program")
            for pipe in self._pipes:
                pipe.finish()
            read_here = self._pipes[0].total, self._pipes[1].total
            self._deliver(Frame(FrameKind.EXITED, frame.payload, read_here))
            self._reported = True
            self._say_begun(True)
        else:
            self._deliver(frame)

    def _deliver(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._news.set()
        if len(self._frames) > _MOST_WAITING_FRAMES and not self._paused:
            self._paused = True
            self._control.pause()
            for pipe in self._pipes:
                pipe.pause()

    def _control_ended(self, error: FrameError | None) -> None:
        self._error = error
        self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._control.close()
        for pipe in self._pipes:
            pipe.finish()
            pipe.close()
        self._say_begun(self._has_begun())
        self._loop.remove_reader(self._start)
        os.close(self._start)
        self._settled.set()
        self._news.set()
        self._on_end()

    def _watch(self) -> None:
        """The program lasts."""
        for pipe in self._pipes:
            pipe.resume()
        if not self._look_for_begin():
            self._loop.add_reader(self._start, self._look_for_begin)
            self._timer = self._loop.call_later(_BEGIN_SECONDS, self._say_begun, True)

    def _look_for_begin(self) -> bool:
        if not self._has_begun():
            return False
        self._loop.remove_reader(self._start)
        self._say_begun(True)
        return True

    def _has_begun(self) -> bool:
        try:
            return bool(os.read(self._start, 1))
        except BlockingIOError:
            return False

    def _say_begun(self, begun: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._begun.done():
            self._begun.set_result(begun)

    async def _wait_for_news(self) -> None:
        self._news.clear()
        await self._news.wait()


def _drain(number: int) -> bytes:
    return encode_frame(FrameKind.DRAIN, bytes([number]))
