"""A socket in the home by which a running executor tells its owner how it is.

1. The directory is its owner's alone, and so is the socket.
2. Whoever connects has to be the same user, or root, by the kernel's word.
3. Nothing is read from a connection: there is nothing to ask for but the report.
4. A socket of a process that is dead is taken away by the next start.
5. An executor that cannot have one runs all the same.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog
from pydantic import ValidationError

from executor_mcp.live_report import LiveReport
from executor_mcp.storage.processes import is_known_alive

ANSWER_SECONDS: Final = 3.0
_MOST_BYTES: Final = 1 << 18
_SUFFIX: Final = ".socket"
_PEER: Final = struct.Struct("3i")


@asynccontextmanager
async def telling(directory: Path, owner: str, report: Callable[[], LiveReport]) -> AsyncGenerator[None]:
    """Answers whoever connects while this is entered. `owner` holds its lock file in `directory` already."""
    log = structlog.get_logger("executor.status")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        try:
            if _peer(writer.get_extra_info("socket")) in (os.getuid(), 0):  # 2
                writer.write(report().model_dump_json().encode())
                async with asyncio.timeout(ANSWER_SECONDS):
                    await writer.drain()
        except (OSError, TimeoutError) as error:
            log.info("status_not_told", problem=type(error).__name__)
        finally:
            writer.close()

    path = directory / f"{owner}{_SUFFIX}"
    try:
        _remove_left(directory)
        server = await asyncio.start_unix_server(answer, sock=_listening(path))
    except OSError as error:  # 5
        log.warning("status_not_offered", problem=error.strerror)
        yield
        return
    try:
        yield
    finally:
        server.close()
        with suppress(OSError):
            path.unlink(missing_ok=True)


async def ask_executors(directory: Path) -> list[LiveReport | str]:
    """What each living executor of this home says; for one that does not answer, one line."""
    answers: list[LiveReport | str] = []
    for path in await asyncio.to_thread(_sockets_of_the_living, directory):
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answers.append(await _ask(path))
        except (OSError, TimeoutError, EOFError):
            answers.append(
                f"an executor runs and does not say how it is within {ANSWER_SECONDS:g} s ({path.name})"
            )
        except ValidationError:
            answers.append(f"an executor of another release runs; its own doctor can read it ({path.name})")
    return answers


async def _ask(path: Path) -> LiveReport:
    with _short(path) as place:
        reader, writer = await asyncio.open_unix_connection(place)
    try:
        text = b""
        while len(text) < _MOST_BYTES and (part := await reader.read(_MOST_BYTES)):
            text += part
    finally:
        writer.close()
    if not text:
        raise EOFError
    return LiveReport.model_validate_json(text)


def _listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        path.parent.chmod(0o700)  # 1
        with _short(path) as place:
            listener.bind(place)
        path.chmod(0o600)
        listener.listen(8)
    except BaseException:
        listener.close()
        raise
    return listener


@contextmanager
def _short(path: Path) -> Generator[str]:
    """A name for `path` that fits a socket address, which holds 107 bytes, however deep the home is."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def _sockets_of_the_living(directory: Path) -> list[Path]:
    return [path for path in sorted(directory.glob("*" + _SUFFIX)) if _is_alive(path)]


def _remove_left(directory: Path) -> None:
    """4."""
    for path in directory.glob("*" + _SUFFIX):
        if not _is_alive(path):
            path.unlink(missing_ok=True)


def _is_alive(path: Path) -> bool:
    # A socket comes after its process's lock and goes before it.
    return is_known_alive(path.parent, path.name.removesuffix(_SUFFIX)) is True


def _peer(connection: socket.socket) -> int:
    """The user at the other end."""
    return _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1]
