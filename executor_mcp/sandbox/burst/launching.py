"""Makes an outer container, and what dead processes left of them go away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from executor_mcp.sandbox.amounts import Amounts
from executor_mcp.sandbox.burst.outer import USERS, OuterContainer
from executor_mcp.sandbox.burst.program import burst_program, outer_profile
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_container import Runtime, container_config, host_config
from executor_mcp.sandbox.errors import SandboxError, SandboxUnavailable
from executor_mcp.sandbox.host_users import block_of_users
from executor_mcp.sandbox.languages.python import PYTHON_OPTIONS
from executor_mcp.sandbox.languages.registry import Languages
from executor_mcp.sandbox.owned_directories import (
    listen_to_sandbox,
    make_owned_directory,
    remove_left_directories,
)
from executor_mcp.sandbox.owner import Owner
from executor_mcp.sandbox.process_handle import ProcessHandle
from executor_mcp.sandbox.seccomp import compile_profile
from executor_mcp.sandbox.settings import BurstSettings
from hitl_contract.action_code import Limits

READY_SECONDS = 20.0
_DIRECTORY_PREFIX = "hitl-burst-"
_LOOK_SECONDS = 2.0
_INSIDE = "/run/hitl"
_SOCKET = "socket"
_PROGRAM = "supervisor.py"
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
        runtime: Runtime,
        settings: BurstSettings,
    ) -> None:
        self._engine = engine
        self._runtime = runtime
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
        closed = make_owned_directory(_DIRECTORY_PREFIX, self._owner)
        directory = closed / "inside"
        try:
            with listen_to_sandbox(directory, _SOCKET, kind=socket.SOCK_SEQPACKET) as listener:
                listener.setblocking(False)
                (directory / _PROGRAM).write_bytes(self._program)
                (directory / _PROGRAM).chmod(0o644)
                return await self._start(image, directory, listener)
        except TimeoutError as error:
            raise SandboxUnavailable(
                f"a burst container was not ready within {READY_SECONDS:g} s; the engine has to be on this "
                "host and see its temporary directory"
            ) from error
        finally:
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
                    process=_supervisor(connection),
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
        host = host_config(amounts, user=first, runtime=self._runtime, seccomp=seccomp)  # 1
        mount = {"Type": "bind", "Source": str(directory), "Target": _INSIDE, "ReadOnly": True}  # 5
        return host | {
            "cap_add": ["SETUID", "SETGID"],  # 2
            "security_opt": [*host["security_opt"], "apparmor=unconfined"],  # 3
            "mounts": [mount],
        }


def remove_left_burst_directories() -> int:
    """Of processes of this host that are gone; the number removed."""
    return remove_left_directories(_DIRECTORY_PREFIX)


def _supervisor(connection: socket.socket) -> ProcessHandle:
    """Raises SandboxUnavailable where this process cannot see it."""
    process = ProcessHandle.of_peer(connection)
    if process is None:
        connection.close()
        raise SandboxUnavailable("the burst tier needs an engine whose processes this one can see")
    return process
