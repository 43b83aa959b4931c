"""What a server that is up leaves in its home directory, for commands to find it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

SERVER_FILE = "server.json"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that says it runs here. `started` tells its process from a later one of the same id.

    `url` is the public one, `address` the one on this machine.
    """

    pid: int
    started: str
    url: str
    address: str


def find_running_server(home: Path) -> RunningServer | None:
    """The server that is up on this home directory; None when none is, whatever an old file says."""
    try:
        stated: object = json.loads((home / SERVER_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(stated, dict):
        return None
    fields = cast("dict[str, Any]", stated)
    pid, started, url = fields.get("pid"), fields.get("started"), fields.get("url")
    address = fields.get("address", url)
    if not (isinstance(pid, int) and all(isinstance(text, str) for text in (started, url, address))):
        return None
    running = RunningServer(pid, str(started), str(url), str(address))
    return running if running.started and process_started(pid) == running.started else None


def process_started(pid: int) -> str:
    """When a process started, in the kernel's terms; empty when there is none. Process ids are used again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    # Field 22 of proc(5), counted after the name in parentheses; a zombie answers nobody.
    return "" if fields[0] in {"Z", "X"} else fields[19]
