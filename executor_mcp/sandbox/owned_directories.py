"""Directories of the host that are this process's while it lives, and sockets in them for sandboxes."""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path

from executor_mcp.sandbox.owner import Owner


def make_owned_directory(prefix: str, owner: Owner) -> Path:
    """A new directory for temporary files that `owner`'s user alone can enter. Raises OSError."""
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{owner}-"))


def remove_left_directories(prefix: str) -> int:
    """Removes those whose owners, processes of this host, are gone; the number removed."""
    left = [
        path
        for path in Path(tempfile.gettempdir()).glob(prefix + "*")
        if (owner := Owner.parse(path.name.removeprefix(prefix).rpartition("-")[0])) is not None
        and owner.is_gone()
    ]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return len(left)


def listen_to_sandbox(
    directory: Path,
    name: str,
    *,
    kind: socket.SocketKind = socket.SOCK_STREAM,
    backlog: int = 1,
) -> socket.socket:
    """A listening socket in a new `directory`, which has to be within one that is closed to everybody else.

    The sandbox's user is nobody of this host: it may pass, and connect, and nothing else. Raises OSError.
    """
    directory.mkdir()
    directory.chmod(0o711)
    listener = socket.socket(socket.AF_UNIX, kind)
    try:
        listener.bind(str(directory / name))
        (directory / name).chmod(0o666)
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener
