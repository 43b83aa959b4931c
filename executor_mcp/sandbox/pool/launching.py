"""Makes a warm container, and takes it away again; none of it is on a caller's way."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_container import Runtime, container_config, host_config
from executor_mcp.sandbox.errors import SandboxError, SandboxUnavailable
from executor_mcp.sandbox.host_users import user_of_its_own
from executor_mcp.sandbox.languages.registry import Languages
from executor_mcp.sandbox.owned_directories import (
    listen_to_sandbox,
    make_owned_directory,
    remove_left_directories,
)
from executor_mcp.sandbox.owner import Owner
from executor_mcp.sandbox.pool.classes import WarmClass
from executor_mcp.sandbox.pool.container import WarmContainer
from executor_mcp.sandbox.pool.network import NetworkHolders
from executor_mcp.sandbox.process_handle import ProcessHandle
from executor_mcp.sandbox.supervisor_program import warm_supervisor_command

READY_SECONDS = 20.0
_SETTLE_SECONDS = 0.5
_NEWS_SECONDS = 0.3
_DIRECTORY_PREFIX = "hitl-pool-"
_INSIDE = "/run/hitl"
_SOCKET = "socket"
_SUPERVISOR = "supervisor.pyc"


class Launcher(Protocol):
    """What the pool needs of an engine."""

    async def launch(self, kind: WarmClass) -> WarmContainer:
        """A container whose interpreter waits. Raises SandboxError, and then nothing is left of it."""
        ...

    async def end(self, container: WarmContainer) -> None:
        """Ends what is alive in it, and gives the engine time to hear of that. Raises nothing."""
        ...

    async def remove(self, container: WarmContainer) -> None:
        """Removes what was ended, and everything that was made for it. Raises nothing."""
        ...

    async def close(self) -> None: ...


class DockerLauncher:
    """Implements `Launcher`.

    1. The container gets all the hardening of a cold one; nothing is added but one read-only directory.
    2. The directory is the container's own and holds one socket and the compiled supervisor; both lose their
       names when it is connected.
    3. The directory above it can be entered by this process's user alone.
    4. The container joins a network namespace without a network that no other live one uses.
    """

    def __init__(
        self,
        engine: DockerEngine,
        *,
        holders: NetworkHolders,
        seccomp: Callable[[], Awaitable[str]],
        compiled: Callable[[str], Awaitable[bytes | None]],
        languages: Languages,
        labels: Mapping[str, str],
        owner: Owner,
        runtime: Runtime,
    ) -> None:
        self._languages = languages
        self._runtime = runtime
        self._engine = engine
        self._holders = holders
        self._seccomp = seccomp
        self._compiled = compiled
        self._labels = labels
        self._owner = owner
        self._directory: Path | None = None

    async def launch(self, kind: WarmClass) -> WarmContainer:
        seccomp = await self._seccomp()
        holder = await self._holders.take(kind.image, seccomp=seccomp, labels=self._labels)
        directory = self._own_directory() / secrets.token_hex(8)
        try:
            with listen_to_sandbox(directory, _SOCKET) as listener:
                listener.setblocking(False)
                return await self._start(kind, seccomp, holder, directory, listener)
        except BaseException as error:
            await asyncio.shield(self._give_up(directory, holder))
            if isinstance(error, TimeoutError):
                raise SandboxUnavailable(
                    f"a warm sandbox was not ready within {READY_SECONDS:g} s; the engine has to be on this "
                    "host and see its temporary directory"
                ) from error
            raise

    async def end(self, container: WarmContainer) -> None:
        await container.settle(_SETTLE_SECONDS)
        if await container.end():
            # Nothing lives in its network any more, whatever the engine still keeps of the container.
            await self._give_holder_back(container)
        # The engine would kill once more, by a process of its runtime, what it does not know to have ended.
        await asyncio.sleep(_NEWS_SECONDS)

    async def remove(self, container: WarmContainer) -> None:
        # What the engine does not remove now has this process's label, and is a leftover when it is gone.
        with contextlib.suppress(SandboxError):
            await self._engine.remove(container.container_id)
        await self._give_holder_back(container)
        shutil.rmtree(container.directory, ignore_errors=True)

    async def close(self) -> None:
        await self._holders.close()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    async def _start(
        self, kind: WarmClass, seccomp: str, holder: str, directory: Path, listener: socket.socket
    ) -> WarmContainer:
        user = user_of_its_own()
        host = host_config(kind.amounts, user=user, runtime=self._runtime, seccomp=seccomp)
        host |= {"network_mode": f"container:{holder}", "mounts": [_mount(directory)]}
        config = container_config(self._labels, user=user) | {"stdin_open": False}
        # The holder's, whose namespace it joins.
        del config["hostname"]
        compiled = await self._compiled(kind.image)
        if compiled is not None:
            (directory / _SUPERVISOR).write_bytes(compiled)
        command = warm_supervisor_command(
            f"{_INSIDE}/{_SOCKET}",
            f"{_INSIDE}/{_SUPERVISOR}" if compiled is not None else None,
            self._languages,
        )
        container_id = await self._engine.create(kind.image, command, host=host, container=config)
        try:
            await self._engine.start(container_id)
            async with asyncio.timeout(READY_SECONDS):
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
                container = WarmContainer(
                    self._engine,
                    container_id,
                    connection=connection,
                    process=ProcessHandle.of_peer(connection),
                    directory=directory,
                    holder=holder,
                )
                (directory / _SOCKET).unlink()
                (directory / _SUPERVISOR).unlink(missing_ok=True)
                try:
                    await container.until_ready()
                except BaseException:
                    container.close()
                    raise
        except BaseException:
            with contextlib.suppress(SandboxError):
                await asyncio.shield(self._engine.remove(container_id))
            raise
        return container

    async def _give_holder_back(self, container: WarmContainer) -> None:
        holder, container.holder = container.holder, None
        if holder is not None:
            await self._holders.give_back(holder, unchanged=container.network_is_unchanged)

    async def _give_up(self, directory: Path, holder: str) -> None:
        await self._holders.give_back(holder, unchanged=False)
        shutil.rmtree(directory, ignore_errors=True)

    def _own_directory(self) -> Path:
        if self._directory is None:
            self._directory = make_owned_directory(_DIRECTORY_PREFIX, self._owner)
        return self._directory


def remove_left_pool_directories() -> int:
    """Of processes of this host that are gone; the number removed."""
    return remove_left_directories(_DIRECTORY_PREFIX)


def _mount(directory: Path) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(directory), "Target": _INSIDE, "ReadOnly": True}
