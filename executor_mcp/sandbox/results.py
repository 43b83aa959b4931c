"""What comes out of a sandbox, checked again on this side: bounded buffers, files, and the result value."""

from __future__ import annotations

import hashlib
import json
import mimetypes
from typing import NoReturn

from executor_mcp.sandbox.base import CreatedFile
from executor_mcp.sandbox.frames import FrameError

MAX_PATH_BYTES = 1024
MAX_NAME_BYTES = 255
MAX_RESULT_DEPTH = 64
_TEXT_TYPES = {
    ".py": "text/x-python",
    ".sh": "text/x-shellscript",
    ".sql": "application/sql",
    ".md": "text/markdown",
}


class BoundedBuffer:
    """Keeps at most `bound` bytes. The supervisor holds the same bound, so more than it is a broken
    sandbox.
    """

    def __init__(self, bound: int) -> None:
        self._room = bound
        self._kept = bytearray()

    def add(self, chunk: bytes) -> bool:
        """False when the chunk does not fit; nothing of it is kept then."""
        if len(chunk) > self._room:
            return False
        self._room -= len(chunk)
        self._kept += chunk
        return True

    def content(self) -> bytes:
        return bytes(self._kept)


class FileReceiver:
    """Takes FILE and FILE_DATA frames, and makes of them files that are safe to name and to store."""

    def __init__(self, *, max_files: int, max_bytes: int) -> None:
        self._max_files = max_files
        self._room = max_bytes
        self._files: dict[str, CreatedFile] = {}
        self._path: str | None = None
        self._expected = 0
        self._content = bytearray()
        self.truncated = False

    def begin(self, size: int, raw_path: bytes) -> None:
        if self._expected:
            raise FrameError("a file before the last one was complete")
        if size > self._room or len(self._files) >= self._max_files:
            raise FrameError("more files than were asked for")
        self._room -= size
        self._expected = size
        self._path = safe_path(raw_path)
        if self._path is None or self._path in self._files:
            self._path, self.truncated = None, True
        self._content = bytearray()
        self._finish_if_complete()

    def add(self, chunk: bytes) -> None:
        if not chunk or len(chunk) > self._expected:
            raise FrameError("more bytes of a file than were announced")
        self._expected -= len(chunk)
        self._content += chunk
        self._finish_if_complete()

    def files(self) -> tuple[CreatedFile, ...]:
        return tuple(self._files.values())

    def _finish_if_complete(self) -> None:
        if self._expected or self._path is None:
            return
        self._files[self._path] = created_file(self._path, bytes(self._content))
        self._path = None


def created_file(path: str, content: bytes) -> CreatedFile:
    """With what follows from its content."""
    return CreatedFile(
        path=path,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        media_type=media_type(path, content),
        content=content,
    )


def safe_path(raw: bytes) -> str | None:
    """The path as text; None when it is absolute, climbs, is too long, or would not print as it is."""
    try:
        path = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    names = path.split("/")
    if len(raw) > MAX_PATH_BYTES or any(name in ("", ".", "..") for name in names):
        return None
    if any(len(name.encode()) > MAX_NAME_BYTES for name in names) or "\\" in path or not path.isprintable():
        return None
    return path


def media_type(path: str, content: bytes) -> str:
    """A guess by name, then by content. Never a claim: whoever serves the file must not let a browser run
    it.
    """
    extension = "." + path.rsplit(".", 1)[-1].lower() if "." in path else ""
    guessed = _TEXT_TYPES.get(extension) or mimetypes.guess_type(path, strict=True)[0]
    if guessed is not None:
        return guessed
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "application/octet-stream"
    return "application/octet-stream" if b"\0" in content else "text/plain"


def checked_result(data: bytes) -> bytes | None:
    """The result as strict, compact UTF-8 JSON, or None when it is none or is nested too deep for its
    readers.
    """
    if not data:
        return None
    try:
        value: object = json.loads(data, parse_constant=_refuse_constant)
        if _depth(value) > MAX_RESULT_DEPTH:
            return None
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return None
    # A lone surrogate has no UTF-8; what cannot be said in JSON text is replaced, not passed on.
    return text.encode("utf-8", "replace")


def _depth(value: object) -> int:
    level: list[object] = [value]
    depth = 0
    while level and depth <= MAX_RESULT_DEPTH:
        depth += 1
        level = [inner for item in level for inner in _members(item)]
    return depth


def _members(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return list(value) if isinstance(value, list) else []  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
