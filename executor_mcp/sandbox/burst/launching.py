"""Makes an outer container, and what dead processes left of them go away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from executor_mcp.sandbox.amounts import Amounts
from executor_mcp.sandbox.burst.outer import USERS, OuterContainer
from executor_mcp.sandbox.burst.program import burst_program, outer_profile
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_container import container_config, host_config
from executor_mcp.sandbox.errors import SandboxError, SandboxUnavailable
from executor_mcp.sandbox.host_users import block_of_users
from executor_mcp.sandbox.languages.python import PYTHON_OPTIONS
from executor_mcp.sandbox.languages.registry import Languages
from executor_mcp.sandbox.owner import Owner
from executor_mcp.sandbox.process_handle import ProcessHandle
from executor_mcp.sandbox.seccomp import compile_profile
from executor_mcp.sandbox.settings import BurstSettings
from hitl_contract.action_code import Limits

READY_SECONDS = 20.0
DIRECTORY_PREFIX = "hitl-burst-"
_LOOK_SECONDS = 2.0
_INSIDE = "/run/hitl"
_SOCKET = "socket"
_PROGRAM = "supervisor.py"
_PEER = struct.Struct("3i")
_OWN_LIMITS = Limits(memory_mb=256, cpus=1.0, pids=4 * USERS, disk_mb=8)
"""Of the supervisor, and of an execution until it has joined groups of its own."""


class BurstLauncher:
    """Makes outer containers.

    1. The container has the hardening of every other one but for what the next three points give up.
    2. Its supervisor begins with two capabilities, to map users that own nothing on the host, and loses them.
    3. Its profile lets the supervisor make namespaces and mounts, and no AppArmor profile forbids it those.
    4. Its /proc is not masked by the engine: the supervisor masks that of each execution.
    5. Nothing of the host is in it but one read-only directory, which loses its two names when it is
       connected.
    """

    def __init__(
        self,
        engine: DockerEngine,
        *,
        profile: Mapping[str, Any],
        languages: Languages,
        labels: Mapping[str, str],
        owner: Owner,
        settings: BurstSettings,
    ) -> None:
        self._engine = engine
        self._profile = profile
        self._languages = languages
        self._labels = labels
        self._owner = owner
        # One more than run at a time: one that has ended may still be counted.
        self._shares = settings.most_at_a_time + 1
        self._interpreter = "fresh" if settings.fresh_interpreter else "preloaded"
        self._program: bytes | None = None

    async def launch(self, image: str) -> OuterContainer:
        """Raises SandboxError, and then nothing is left of it."""
        if self._program is None:
            instructions = await asyncio.to_thread(compile_profile, dict(self._profile))
            self._program = burst_program(self._languages, instructions).encode()
        closed = Path(tempfile.mkdtemp(prefix=f"{DIRECTORY_PREFIX}{self._owner}-"))
        directory = closed / "inside"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            _open_door(directory, listener, self._program)
            return await self._start(image, directory, listener)
        except TimeoutError as error:
            raise SandboxUnavailable(
                f"a burst container was not ready within {READY_SECONDS:g} s; the engine has to be on this "
                "host and see its temporary directory"
            ) from error
        finally:
            listener.close()
            shutil.rmtree(closed, ignore_errors=True)

    async def _start(self, image: str, directory: Path, listener: socket.socket) -> OuterContainer:
        first = block_of_users(USERS)
        command = ["python3", *PYTHON_OPTIONS, f"{_INSIDE}/{_PROGRAM}", f"{_INSIDE}/{_SOCKET}"]
        command += [str(first), str(USERS), str(self._shares), self._interpreter]
        container_id = await self._engine.create(
            image,
            command,
            host=self._host_config(first, directory),
            container=container_config(self._labels, user=0) | {"stdin_open": False},
            unmasked=True,  # 4
        )
        try:
            await self._engine.start(container_id)
            async with asyncio.timeout(READY_SECONDS):
                connection = await self._accept(listener, container_id)
                outer = OuterContainer(
                    self._engine,
                    container_id,
                    connection=connection,
                    process=_peer(connection),
                    image=image,
                )
                await outer.until_ready()
        except BaseException:
            with contextlib.suppress(SandboxError):
                await asyncio.shield(self._engine.remove(container_id))
            raise
        return outer

    async def _accept(self, listener: socket.socket, container_id: str) -> socket.socket:
        """Raises SandboxUnavailable when the container has ended instead."""
        accepting = asyncio.create_task(asyncio.get_running_loop().sock_accept(listener))
        try:
            while not (await asyncio.wait({accepting}, timeout=_LOOK_SECONDS))[0]:
                (label, value), owner = next(iter(self._labels.items())), ""
                containers = await self._engine.labelled(label, value, owner)
                if not any(one.container_id == container_id and one.running for one in containers):
                    raise SandboxUnavailable(
                        "the burst supervisor ended as it began; user namespaces may be forbidden on this "
                        "host (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, AppArmor)"
                    )
            connection, _ = await accepting
        finally:
            accepting.cancel()
        return connection

    def _host_config(self, first: int, directory: Path) -> dict[str, Any]:
        seccomp = json.dumps(outer_profile(self._profile))
        amounts = Amounts.of(_OWN_LIMITS, 0)
        host = host_config(amounts, user=first, runtime=None, seccomp=seccomp)  # 1
        mount = {"Type": "bind", "Source": str(directory), "Target": _INSIDE, "ReadOnly": True}  # 5
        return host | {
            "cap_add": ["SETUID", "SETGID"],  # 2
            "security_opt": [*host["security_opt"], "apparmor=unconfined"],  # 3
            "mounts": [mount],
        }


def remove_left_directories() -> int:
    """Removes the directories of processes of this host that are gone; the number removed."""
    left = [
        path
        for path in Path(tempfile.gettempdir()).glob(DIRECTORY_PREFIX + "*")
        if (owner := Owner.parse(path.name.removeprefix(DIRECTORY_PREFIX).rpartition("-")[0])) is not None
        and owner.is_gone()
    ]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return len(left)


def _open_door(directory: Path, listener: socket.socket, program: bytes) -> None:
    # The container's users are nobody of this host: they may pass, read and connect, and nothing else.
    directory.mkdir()
    directory.chmod(0o711)
    (directory / _PROGRAM).write_bytes(program)
    (directory / _PROGRAM).chmod(0o644)
    listener.setblocking(False)
    listener.bind(str(directory / _SOCKET))
    os.chmod(directory / _SOCKET, 0o666)  # noqa: S103 - the directory above is closed to everybody else
    listener.listen(1)


def _peer(connection: socket.socket) -> ProcessHandle:
    """The supervisor. Raises SandboxUnavailable where this process cannot see it."""
    process, _, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    try:
        if process > 0:
            return ProcessHandle(process)
    except OSError:
        pass
    connection.close()
    raise SandboxUnavailable("the burst tier needs an engine whose processes this one can see")
