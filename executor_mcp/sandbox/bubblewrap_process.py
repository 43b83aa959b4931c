"""One bubblewrap sandbox as processes of this host: started, held by descriptor, killed to the last one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from typing import cast

from executor_mcp.sandbox.amounts import Amounts
from executor_mcp.sandbox.bubblewrap_command import (
    GROUP,
    PASSWD,
    TOOL_PATH,
    Descriptors,
    bubblewrap_command,
)
from executor_mcp.sandbox.control_groups import ControlGroup, give_way
from executor_mcp.sandbox.errors import SandboxUnavailable
from executor_mcp.sandbox.frames import MAX_FRAME_BYTES, Frame, read_frame
from executor_mcp.sandbox.host_directories import HostDirectory
from executor_mcp.sandbox.host_limits import why_not_started
from executor_mcp.sandbox.job_message import HOSTS
from executor_mcp.sandbox.run import Aftermath
from executor_mcp.sandbox.usage import UsageMeter
from executor_mcp.sandbox.usage_meters import CONTROLLERS, ControlGroupMeter, ProcessTreeMeter

READY_SECONDS = 15.0
_STATUS_BYTES = 4096
_ERROR_BYTES = 4096
_OUTER_SECONDS = 5.0


class BubblewrapProcess:
    """Implements `run.Channel`.

    The sandbox's process 1 is held by a pidfd: a signal can then reach no other process, and the descriptor
    becomes readable only when the kernel has ended the whole process namespace.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        number: int,
        init: int,
        status: int,
        group: ControlGroup | None,
    ) -> None:
        self._process = process
        self._number = number
        # None once closed: another file may get its number.
        self._init: int | None = init
        # Kept open: bwrap writes to it again, and would die of a closed pipe before its sandbox is set up.
        self._status = status
        self._group = group
        self._errors = asyncio.create_task(_bounded_errors(process))
        self._ended = asyncio.create_task(self._wait_for_the_end(init))

    @classmethod
    async def launch(
        cls,
        amounts: Amounts,
        group: ControlGroup | None,
        *,
        seccomp_filter: bytes,
        supervisor: str,
        directories: tuple[HostDirectory, ...] = (),
    ) -> BubblewrapProcess:
        """`supervisor`: the program of process 1.

        Raises SandboxUnavailable, with the last line that bwrap or one of its stages wrote.
        """
        status_reader, status_writer = os.pipe()
        try:
            files = (_memory_file(content) for content in (seccomp_filter, PASSWD, GROUP, HOSTS))
            descriptors = Descriptors(*files, status=status_writer)
            try:
                command = bubblewrap_command(amounts, group, descriptors, supervisor, directories)
                process = await _spawn(command, descriptors)
            finally:
                for descriptor in descriptors.all():
                    os.close(descriptor)
            number, init = await _process_1(process, status_reader)
        except BaseException:
            os.close(status_reader)
            raise
        return cls(process, number, init, status_reader, group)

    async def read_frame(self) -> Frame | None:
        return await read_frame(cast("asyncio.StreamReader", self._process.stdout))

    def send(self, data: bytes) -> None:
        writer = cast("asyncio.StreamWriter", self._process.stdin)
        if not writer.is_closing():
            writer.write(data)

    async def meter(self) -> UsageMeter | None:
        if self._group is not None:
            for place in self._group.directories:
                give_way(place)
            own = [(name, place) for place in self._group.directories for name in CONTROLLERS]
            return ControlGroupMeter.of_directories(own, supervisor=self._number, own_tasks=2)
        return ProcessTreeMeter(self._number, is_alive=lambda: self._init is not None)

    async def kill(self) -> None:
        if self._init is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init, signal.SIGKILL)
        await asyncio.shield(self._ended)

    async def remove(self) -> Aftermath:
        errors = await self._errors
        if self._group is None:
            return Aftermath(detail=errors)
        facts = await asyncio.to_thread(self._group.facts)
        removed = await asyncio.to_thread(self._group.remove)
        return Aftermath(
            out_of_memory=facts.out_of_memory,
            peak_memory_bytes=facts.peak_memory_bytes,
            cpu_seconds=facts.cpu_seconds,
            detail=errors if removed else "its control group could not be removed",
        )

    async def _wait_for_the_end(self, init: int) -> None:
        await _readable(init)
        self._init = None
        os.close(init)
        os.close(self._status)
        cast("asyncio.StreamWriter", self._process.stdin).close()
        try:
            async with asyncio.timeout(_OUTER_SECONDS):
                await self._process.wait()
        except TimeoutError:
            await _kill_outer(self._process)


async def _spawn(command: list[str], descriptors: Descriptors) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            cwd="/",
            env={"PATH": TOOL_PATH, "LANG": "C.UTF-8"},
            pass_fds=descriptors.all(),
            start_new_session=True,
            limit=MAX_FRAME_BYTES,
        )
    except OSError as error:
        raise SandboxUnavailable(f"the sandbox could not be started: {why_not_started(error)}") from error


async def _process_1(process: asyncio.subprocess.Process, status_reader: int) -> tuple[int, int]:
    """Number and pidfd of the sandbox's process 1, once bwrap has named it."""
    try:
        status = b""
        async with asyncio.timeout(READY_SECONDS):
            while b"\n" not in status:
                await _readable(status_reader)
                part = os.read(status_reader, _STATUS_BYTES)
                if not part:
                    break
                status += part
        number = int(json.loads(status.split(b"\n", 1)[0])["child-pid"])
        return number, os.pidfd_open(number)
    except (TimeoutError, OSError, ValueError, KeyError) as error:
        await _kill_outer(process)
        written = await _bounded_errors(process)
        why = why_not_started(error, written)
        raise SandboxUnavailable(f"the sandbox could not be started: {why}") from error
    except asyncio.CancelledError:
        await _kill_outer(process)
        raise


async def _kill_outer(process: asyncio.subprocess.Process) -> None:
    # Not `process.kill`: it polls, and would take the exit status from under the loop's own child watcher.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    await process.wait()


async def _bounded_errors(process: asyncio.subprocess.Process) -> str | None:
    """The last line written to standard error, read to its end and kept only in part."""
    reader = cast("asyncio.StreamReader", process.stderr)
    kept = b""
    while chunk := await reader.read(_ERROR_BYTES):
        kept = (kept + chunk)[-_ERROR_BYTES:]
    lines = kept.decode("utf-8", "replace").strip().splitlines()
    return "".join(character for character in lines[-1] if character.isprintable())[:300] if lines else None


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, lambda: None if future.done() else future.set_result(None))
    try:
        await future
    finally:
        loop.remove_reader(descriptor)


def _memory_file(content: bytes) -> int:
    descriptor = os.memfd_create("sandbox")
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
