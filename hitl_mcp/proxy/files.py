"""What a proxy keeps on disk about one upstream server: tools as first seen, and calls on their way.

A call is noted, durably, before it is forwarded, and the note goes when its answer came. A note whose process
or session is gone is a call that may or may not have happened: it is reported once, and never repeated by
itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hitl_mcp.running_server import process_started
from server_kit.durable_files import replace_durably
from server_kit.errors import HomeNotWritable


@dataclass(frozen=True, slots=True)
class Note:
    """A call that was forwarded and not answered yet."""

    path: Path


class ProxyFiles:
    """The files of one upstream server, shared by all proxies in front of it.

    Where one proxy serves several agents, `caller` keeps the notes about their calls apart.
    """

    def __init__(self, directory: Path, server: str, caller: str = "") -> None:
        name = re.sub(r"[^A-Za-z0-9]+", "-", server)[:40]
        self._directory = directory / f"{name}-{_short(server)}"
        self._caller = caller
        try:
            (self._directory / "calls").mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise HomeNotWritable(
                f"the directory {self._directory} cannot be made ({error.strerror})"
            ) from error

    def pins(self) -> dict[str, str]:
        """The digest of each tool's definition as it was first seen or last approved.

        Raises:
            HomeNotWritable: the file is damaged; it is not guessed at.
        """
        path = self._directory / "definitions.json"
        try:
            document: object = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise HomeNotWritable(
                f"{path} cannot be read; look at it, and remove it to begin anew"
            ) from error
        pins = cast("dict[str, str]", document) if isinstance(document, dict) else None
        if pins is None or not all(type(digest) is str for digest in pins.values()):
            raise HomeNotWritable(f"{path} is damaged; look at it, and remove it to begin anew")
        return pins

    def pin(self, tool: str, digest: str) -> None:
        """Take this definition for the known one."""
        _write(self._directory / "definitions.json", {**self.pins(), tool: digest})

    def note(self, action_digest: str, use: str, tool: str) -> Note:
        """Note durably that a call goes out now."""
        path = self._directory / "calls" / f"{self._key(action_digest)}.{_short(use)}.json"
        _write(path, {"tool": tool, "pid": os.getpid(), "started": process_started(os.getpid())})
        return Note(path)

    def answered(self, note: Note) -> None:
        """The call came to an end that its caller is told."""
        with suppress(OSError):
            note.path.unlink()

    def abandoned(self, note: Note) -> None:
        """Nobody is there any more to be told how the call ended: the next one like it is told."""
        with suppress(OSError):
            _write(note.path, {"pid": 0, "started": ""})

    def take_interrupted(self, action_digest: str) -> bool:
        """Whether such a call was cut off earlier, in a process that is gone. It is told once."""
        found = False
        for path in (self._directory / "calls").glob(f"{self._key(action_digest)}.*.json"):
            if not _process_lives(path):
                path.unlink(missing_ok=True)
                found = True
        return found

    def _key(self, action_digest: str) -> str:
        return _short(f"{self._caller} {action_digest}" if self._caller else action_digest)


def _write(path: Path, document: dict[str, Any]) -> None:
    replace_durably(path, json.dumps(document).encode())


def _process_lives(path: Path) -> bool:
    try:
        owner = cast("dict[str, Any]", json.loads(path.read_bytes()))
        started = str(owner["started"])
        return bool(started) and process_started(int(owner["pid"])) == started
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
