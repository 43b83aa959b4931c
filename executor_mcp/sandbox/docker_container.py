"""One container of a sandbox: how it is hardened, and its life from creation to removal."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from executor_mcp.sandbox.amounts import MAX_OPEN_FILES, SHARED_MEMORY_BYTES, Amounts
from executor_mcp.sandbox.control_groups import give_way, memberships, processor_group
from executor_mcp.sandbox.docker import AttachedStream, DockerEngine
from executor_mcp.sandbox.errors import SandboxError
from executor_mcp.sandbox.frames import MAX_FRAME_BYTES, Frame, FrameError, read_frame
from executor_mcp.sandbox.host_directories import HostDirectory
from executor_mcp.sandbox.job_message import PROGRAM_PATH
from executor_mcp.sandbox.languages.registry import Languages
from executor_mcp.sandbox.process_handle import ProcessHandle
from executor_mcp.sandbox.run import Aftermath
from executor_mcp.sandbox.supervisor_program import supervisor_program
from executor_mcp.sandbox.usage import UsageMeter
from executor_mcp.sandbox.usage_meters import ControlGroupMeter

_GVISOR_MEMORY_BYTES = 64 * 1024 * 1024
_GVISOR_TASKS = 256
_MAX_CHUNK_BYTES = 1 << 20
_ERROR_BYTES = 4096
_STANDARD_OUTPUT = 1
_EMPTY = "ro,nosuid,nodev,noexec,size=4096,nr_inodes=2,mode=0555"
_DEATH_SECONDS = 2.0
_MEMORY_ATTEMPTS = 10
_MEMORY_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Runtime:
    """What the engine starts containers with; `name` None is the engine's default."""

    name: str | None = None
    gvisor: bool = False


def host_config(
    amounts: Amounts,
    *,
    user: int,
    runtime: Runtime,
    seccomp: str,
    directories: tuple[HostDirectory, ...] = (),
) -> dict[str, Any]:
    """1. No network. 2. Nothing can be written but two bounded tmpfs. 3. No capability, and no way to gain
    one.
    4. Only the system calls of the profile. 5. Memory without swap, processor, processes and files bounded.
    6. No device or socket of the host, no mount but `directories`, read-only; no shared namespace.
    7. No log: it would lie on the host's disk.
    8. `user` is of this container alone: the kernel keeps some accounts by user.
    """
    gvisor = runtime.gvisor
    # gVisor keeps its own kernel and one task for each of the program's in the same control group.
    memory = amounts.memory_bytes + (_GVISOR_MEMORY_BYTES if gvisor else 0)
    processes = 2 * amounts.processes + _GVISOR_TASKS if gvisor else amounts.processes
    owner = f"uid={user},gid={user}"
    options = "rw,nosuid,nodev,noexec,mode=0755," + owner
    return {
        "network_mode": "none",
        "read_only": True,
        "tmpfs": {
            "/tmp": f"{options},size={amounts.disk_bytes},nr_inodes={amounts.inodes}",  # noqa: S108
            "/dev/shm": f"{options},size={SHARED_MEMORY_BYTES},nr_inodes=256",  # noqa: S108
            # The engine mounts message queues there, which can be written; this lies over them.
            "/dev/mqueue": _EMPTY,
            # Where the kernel lies in memory, and doors for those who look after it.
            **({} if gvisor else {"/sys/kernel": _EMPTY}),
        },
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges", f"seccomp={seccomp}"],
        "mem_limit": memory,
        "memswap_limit": memory,
        "nano_cpus": max(10_000_000, int(amounts.cpus * 1_000_000_000)),
        "pids_limit": processes,
        "ulimits": [
            {"Name": "nofile", "Soft": MAX_OPEN_FILES, "Hard": MAX_OPEN_FILES},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "ipc_mode": "none",
        "privileged": False,
        "init": False,
        "log_config": {"Type": "none", "Config": {}},
        # In this form the engine refuses a directory that it does not have; "binds" would make it.
        "mounts": [
            {"Type": "bind", "Source": str(one.source), "Target": one.target, "ReadOnly": True}
            for one in directories
        ],
        **({"runtime": runtime.name} if runtime.name is not None else {}),
    }


def container_config(labels: Mapping[str, str], *, user: int) -> dict[str, Any]:
    """`user` is that of `host_config`.

    When this process goes, the engine closes the container's input, at which the supervisor stops.
    """
    return {
        "user": f"{user}:{user}",
        "working_dir": "/",
        "hostname": "sandbox",
        "environment": {"PATH": PROGRAM_PATH, "LANG": "C.UTF-8"},
        "labels": dict(labels),
        "stdin_open": True,
        "tty": False,
    }


def supervisor_command(languages: Languages) -> list[str]:
    return ["python3", "-I", "-S", "-c", supervisor_program(languages)]


class DockerContainer:
    """Implements `run.Channel` over an attached container."""

    def __init__(
        self, engine: DockerEngine, container_id: str, stream: AttachedStream, *, gvisor: bool
    ) -> None:
        self._engine = engine
        self._container_id = container_id
        self._gvisor = gvisor
        self._process: ProcessHandle | None = None
        self._stream = stream
        self._output = _Demultiplexer(stream.reader)
        self._killing: asyncio.Task[None] | None = None
        self._ended_alone = False

    @classmethod
    async def launch(
        cls,
        engine: DockerEngine,
        image: str,
        command: list[str],
        *,
        host: Mapping[str, Any],
        container: Mapping[str, Any],
        gvisor: bool,
    ) -> DockerContainer:
        """Raises SandboxError; then nothing is left of the container."""
        container_id = await engine.create(image, command, host=host, container=container)
        try:
            stream = await engine.attach(container_id, MAX_FRAME_BYTES)
            try:
                await engine.start(container_id)
            except BaseException:
                stream.close()
                raise
        except BaseException:
            with contextlib.suppress(SandboxError):
                await asyncio.shield(engine.remove(container_id))
            raise
        return cls(engine, container_id, stream, gvisor=gvisor)

    async def read_frame(self) -> Frame | None:
        frame = await read_frame(self._output)
        # The engine may not know yet, and then takes the kill that follows for what ended it.
        self._ended_alone |= frame is None and self._killing is None
        return frame

    def send(self, data: bytes) -> None:
        if not self._stream.writer.is_closing():
            self._stream.writer.write(data)

    async def meter(self) -> UsageMeter | None:
        """None where the engine's processes are not this host's."""
        try:
            process = await self._engine.first_process(self._container_id)
        except SandboxError:
            return None
        self._process = _process_of(process, self._container_id)
        place = None if self._process is None else processor_group(process)
        if place is not None and self._container_id in str(place):
            give_way(place)
        # gVisor's own threads are in the group; they are not the program's.
        return ControlGroupMeter.of_process(process, own_tasks=None if self._gvisor else 1)

    async def kill(self) -> None:
        if self._killing is None:
            self._killing = asyncio.create_task(self._kill_and_note())
        await asyncio.shield(self._killing)

    async def remove(self) -> Aftermath:
        self._stream.close()
        if self._process is not None:
            self._process.close()
        try:
            out_of_memory = await was_out_of_memory(
                self._engine, self._container_id, ended_alone=self._ended_alone
            )
            await self._engine.remove(self._container_id)
        except SandboxError as error:
            # Left for `remove_leftovers`; the run itself is known to have ended or to be unreachable.
            return Aftermath(detail=str(error))
        return Aftermath(out_of_memory=out_of_memory, detail=self._output.last_error())

    async def _kill_and_note(self) -> None:
        if self._process is not None and not self._process.has_ended:
            # Where this process may, without the engine, which takes a hundred times as long.
            with contextlib.suppress(PermissionError):
                self._process.kill()
            if await self._process.wait(_DEATH_SECONDS):
                return
        with contextlib.suppress(SandboxError):
            self._ended_alone |= not await self._engine.kill(self._container_id)


def _process_of(process: int, container_id: str) -> ProcessHandle | None:
    """A container's first process; None where that number is not its, as of an engine elsewhere."""
    try:
        handle = ProcessHandle(process)
    except OSError:
        return None
    try:
        is_its = any(container_id in path for path in memberships(str(process)).values())
    except OSError:
        is_its = False
    if not is_its:
        handle.close()
        return None
    return handle


async def was_out_of_memory(engine: DockerEngine, container_id: str, *, ended_alone: bool) -> bool:
    """The engine hears of a kill for want of memory a little later than of the end itself."""
    for _ in range(_MEMORY_ATTEMPTS):
        state = await engine.final_state(container_id)
        ended_well = not state.running and state.exit_code == 0
        if state.out_of_memory or not ended_alone or ended_well:
            return state.out_of_memory
        await asyncio.sleep(_MEMORY_PAUSE_SECONDS)
    return False


class _Demultiplexer:
    """Standard output out of the engine's stream of `stream (1) | zero (3) | length (4) | bytes` chunks."""

    _HEADER = struct.Struct(">BxxxI")

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()
        self._errors = b""

    async def readexactly(self, count: int, /) -> bytes:
        while len(self._buffer) < count:
            stream, length = self._HEADER.unpack(await self._reader.readexactly(self._HEADER.size))
            if length > _MAX_CHUNK_BYTES:
                raise FrameError(f"a chunk of {length} bytes")
            chunk = await self._reader.readexactly(length)
            if stream == _STANDARD_OUTPUT:
                self._buffer += chunk
            else:
                self._errors = (self._errors + chunk)[-_ERROR_BYTES:]
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def last_error(self) -> str | None:
        lines = self._errors.decode("utf-8", "replace").strip().splitlines()
        return (
            "".join(character for character in lines[-1] if character.isprintable())[:300] if lines else None
        )
