"""What a campaign looks at on the host: doors that nobody may knock at, a secret, and traces of attacks."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PLACES = ("/", "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", "/etc", "/usr", "/usr/bin", "/home")
_SWITCHES = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/yama/ptrace_scope",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/fs/suid_dumpable",
    "/proc/modules",
    "/proc/swaps",
)


class Host:
    """Doors and a secret of this host. `knocks` says which doors a program found; there must be none."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(8)
        self.secret = secrets.token_hex(24)
        self.knocks: list[str] = []
        self._servers: list[asyncio.Server] = []
        self._folder = Path()
        self._ports: dict[str, int] = {}

    async def __aenter__(self) -> Host:
        self._folder = Path(tempfile.mkdtemp(prefix="hitl-attacks-"))
        self._folder.chmod(0o755)
        (self._folder / "secret.txt").write_text(self.secret)
        os.environ["HITL_ATTACKS_SECRET"] = self.secret
        self._servers = [
            await asyncio.start_server(self._door("loopback"), "127.0.0.1", 0),
            await asyncio.start_server(self._door("every address"), "0.0.0.0", 0),
            await asyncio.start_unix_server(self._door("abstract"), f"\0hitl-attacks-{self.token}"),
            await asyncio.start_unix_server(self._door("path"), self._folder / "socket"),
        ]
        for name, server in zip(("loopback", "every_address"), self._servers[:2], strict=True):
            self._ports[name] = server.sockets[0].getsockname()[1]
        (self._folder / "socket").chmod(0o777)
        return self

    async def __aexit__(self, *exception: object) -> None:
        del os.environ["HITL_ATTACKS_SECRET"]
        for server in self._servers:
            server.close()
            await server.wait_closed()
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()

    def told_to_the_program(self, marker: str) -> dict[str, Any]:
        """A program knows everything about its host but the secret itself: nothing rests on obscurity."""
        return {
            "marker": marker,
            "ports": self._ports,
            "addresses": ["127.0.0.1", "::1", *_addresses()],
            "abstract": f"hitl-attacks-{self.token}",
            "socket": str(self._folder / "socket"),
            "secret_file": str(self._folder / "secret.txt"),
            "process": os.getpid(),
        }

    def _door(self, name: str) -> Any:
        def knock(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.knocks.append(name)
            writer.close()

        return knock


def switches() -> dict[str, str]:
    """What the kernel is told by its administrator, and what all its processes share."""
    return {path: Path(path).read_text() for path in _SWITCHES if os.access(path, os.R_OK)}


def planted(marker: str) -> list[str]:
    """Files on the host with the marker in their names."""
    return [str(path) for place in PLACES for path in _entries(Path(place)) if marker in path.name]


def control_groups_of(owner: str) -> list[str]:
    # Not by a glob: it trips over groups that somebody else removes meanwhile.
    return [
        os.path.join(place, name)
        for place, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if name.startswith("hitl-sandbox-") and owner in name
    ]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.iterdir()
    except OSError:
        return


def _addresses() -> list[str]:
    """The addresses by which this host could be reached from a container: its gateway's among them."""
    found = {"172.17.0.1", "169.254.169.254"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            found.add(probe.getsockname()[0])
        except OSError:
            pass
    return sorted(found)
