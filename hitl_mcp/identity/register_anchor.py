"""A memory of the identity register outside of the database: a file with its last number and link.

Without it, a database put back to an earlier state while no process was running would look intact. Every
process of the server on this machine reads it once and moves it on; it never goes back.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hitl_mcp.errors import IdentityRolledBack
from server_kit.durable_files import replace_durably


@dataclass(frozen=True, slots=True)
class AnchorMark:
    """The last change that was seen."""

    number: int
    link: str


class RegisterAnchor:
    """Reads and replaces the file. All methods block on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> AnchorMark | None:
        """The mark, None when there is no file.

        Raises:
            IdentityRolledBack: there is a file that cannot be read or is no mark.
        """
        try:
            stored: object = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise IdentityRolledBack(f"{self.path} cannot be read ({type(error).__name__})") from error
        fields = cast("dict[str, Any]", stored) if isinstance(stored, dict) else {}
        number, link = fields.get("number"), fields.get("link")
        if not isinstance(number, int) or not isinstance(link, str):
            raise IdentityRolledBack(f"{self.path} does not hold a number and a link")
        return AnchorMark(number, link)

    def advance(self, mark: AnchorMark) -> None:
        """Write `mark` unless the file is further already; returns when it is on the disk.

        Raises:
            IdentityRolledBack: the file cannot be read or written.
        """
        try:
            lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                stored = self.read()
                if stored is None or stored.number < mark.number:
                    stated = {"number": mark.number, "link": mark.link}
                    replace_durably(self.path, json.dumps(stated).encode() + b"\n")
            finally:
                os.close(lock)
        except OSError as error:
            raise IdentityRolledBack(f"{self.path} cannot be written ({error.strerror})") from error
