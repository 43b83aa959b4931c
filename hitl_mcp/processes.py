"""The two servers as processes of their own: `hitl up` and `hitl demo` start, watch and stop them here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from hitl_mcp import tether
from hitl_mcp.errors import HitlError

STOP_SECONDS: Final = 10.0
PASSPHRASE_FD: Final = "HITL_PASSPHRASE_FD"  # noqa: S105 - a variable's name
_POLL_SECONDS: Final = 0.05


class ProcessFailed(HitlError):
    """A command is not installed, a server did not come up, or it ended by itself."""


def console_script(name: str) -> str:
    """The absolute path of one of this distribution's commands: a client may have another PATH.

    Raises:
        ProcessFailed: the command is not installed.
    """
    beside = Path(sys.executable).with_name(name)
    if beside.is_file():
        return str(beside)
    found = shutil.which(name)
    if found is None:
        raise ProcessFailed(
            f"The command {name} is not installed. Install both: pip install 'hitl-mcp[server,executor]'"
        )
    return found


def clean_environment(additions: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without any setting of either server, and then `additions`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HITL_", "EXECUTOR_"))}
    return {**kept, **additions}


def free_port() -> int:
    """A port on loopback that nobody listened on a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServerProcess:
    """One server that this process started.

    `output` takes what it prints; None leaves it on our streams. `passphrase` reaches it by a pipe alone.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        output: Path | None = None,
        passphrase: str | None = None,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._environment = dict(environment)
        self._output = output
        self._passphrase = passphrase
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with contextlib.ExitStack() as stack:
            stream: IO[bytes] | None = stack.enter_context(self._output.open("ab")) if self._output else None
            environment, inherited = self._environment, ()
            if self._passphrase is not None:
                reading = stack.enter_context(_pipe_with(self._passphrase.encode()))
                environment, inherited = {**environment, PASSPHRASE_FD: str(reading)}, (reading,)
            # A group of its own: a Ctrl-C at the terminal reaches us alone, and we stop both in order.
            self._process = await asyncio.create_subprocess_exec(
                *_tethered(self._command),
                env=environment,
                pass_fds=inherited,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def wait_ended(self) -> int:
        """Its exit status, once it has ended."""
        assert self._process is not None
        return await self._process.wait()

    async def wait_ready(self, host: str, port: int, *, timeout_seconds: float) -> None:
        """Returns once it answers `/ready` with 200.

        Raises:
            ProcessFailed: it ended before, or the time is over; with what it last printed.
        """
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.returncode is not None:
                status = self._process.returncode
                raise ProcessFailed(f"{self.name} ended with status {status}.{self._last_words()}")
            if await _answers_ready(host, port):
                return
            await asyncio.sleep(_POLL_SECONDS)
        raise ProcessFailed(f"{self.name} was not ready within {timeout_seconds:.0f} s.{self._last_words()}")

    async def stop(self) -> None:
        """Asks it to stop, and makes it when it does not within ten seconds."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    def _last_words(self) -> str:
        if self._output is None or not self._output.exists():
            return ""
        lines = self._output.read_text("utf-8", errors="replace").strip().splitlines()
        return f" It said: {lines[-1]}" if lines else ""


@contextlib.contextmanager
def _pipe_with(content: bytes) -> Generator[int]:
    """A descriptor from which a child that inherits it reads `content`, which a pipe's buffer holds."""
    reading, writing = os.pipe()
    try:
        os.write(writing, content)
        os.close(writing)
        yield reading
    finally:
        os.close(reading)


def _tethered(command: Sequence[str]) -> list[str]:
    # Isolated mode: what the command may import does not change what the tether does.
    return [sys.executable, "-I", tether.__file__, str(os.getpid()), *command]


async def _answers_ready(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                request = f"GET /ready HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                await writer.drain()
                status = await reader.readline()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
    return status.split(b" ")[1:2] == [b"200"]
