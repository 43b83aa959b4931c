"""Network namespaces without a network, each held by a small container that outlives those that use it.

The engine takes half of a container's start to set up a namespace, also for `none`; joining one costs
nothing. No two live executions share one: loopback and abstract sockets are between one program and itself.
One after the other may, but only while it is as it was made: the supervisor compares every counter that the
kernel keeps of it, and what a program has sent anything in is thrown away with its holder.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from executor_mcp.sandbox.amounts import MEBIBYTE
from executor_mcp.sandbox.docker import AttachedStream, DockerEngine
from executor_mcp.sandbox.errors import SandboxError
from executor_mcp.sandbox.host_users import user_of_its_own

_COMMAND = ["cat"]
"""Ends at the end of its input, which the engine closes when this process is gone."""
_MEMORY_BYTES = 32 * MEBIBYTE
_TASKS = 4


@dataclass(frozen=True)
class Holder:
    """A container that does nothing in a network namespace of its own."""

    container_id: str
    stream: AttachedStream
    made_at: float


class NetworkHolders:
    """Hands out holders, one to one container at a time, and makes and removes them."""

    def __init__(self, engine: DockerEngine, *, most_kept: int, max_age_seconds: float) -> None:
        self._engine = engine
        self._most_kept = most_kept
        self._max_age = max_age_seconds
        self._free: list[Holder] = []
        self._used: dict[str, Holder] = {}
        self.thrown_away = 0

    @property
    def count(self) -> int:
        return len(self._free) + len(self._used)

    async def take(self, image: str, *, seccomp: str, labels: Mapping[str, str]) -> str:
        """A holder's container id; for one container, until `give_back`. Raises SandboxError."""
        while self._free:
            holder = self._free.pop()
            if self._is_fresh(holder):
                break
            await self._remove(holder)
        else:
            holder = await self._make(image, seccomp, labels)
        self._used[holder.container_id] = holder
        return holder.container_id

    async def give_back(self, container_id: str, *, unchanged: bool) -> None:
        """`unchanged` is the word of the supervisor that used it; without one the holder is removed."""
        holder = self._used.pop(container_id, None)
        if holder is None:
            return
        self.thrown_away += not unchanged
        if unchanged and self._is_fresh(holder) and len(self._free) < self._most_kept:
            self._free.append(holder)
        else:
            await self._remove(holder)

    async def close(self) -> None:
        holders = [*self._free, *self._used.values()]
        self._free.clear()
        self._used.clear()
        await asyncio.gather(*(self._remove(holder) for holder in holders))

    def _is_fresh(self, holder: Holder) -> bool:
        return not holder.stream.reader.at_eof() and time.monotonic() - holder.made_at < self._max_age

    async def _make(self, image: str, seccomp: str, labels: Mapping[str, str]) -> Holder:
        container_id = await self._engine.create(
            image, _COMMAND, host=_host_config(seccomp), container=_container_config(labels)
        )
        try:
            stream = await self._engine.attach(container_id, 1024)
            try:
                await self._engine.start(container_id)
            except BaseException:
                stream.close()
                raise
        except BaseException:
            with contextlib.suppress(SandboxError):
                await asyncio.shield(self._engine.remove(container_id))
            raise
        return Holder(container_id, stream, time.monotonic())

    async def _remove(self, holder: Holder) -> None:
        holder.stream.close()
        # What is left here has this process's label, and is removed as a leftover when it is gone.
        with contextlib.suppress(SandboxError):
            await self._engine.remove(holder.container_id)


def _host_config(seccomp: str) -> dict[str, Any]:
    return {
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges", f"seccomp={seccomp}"],
        "mem_limit": _MEMORY_BYTES,
        "memswap_limit": _MEMORY_BYTES,
        "pids_limit": _TASKS,
        "ipc_mode": "none",
        "log_config": {"Type": "none", "Config": {}},
    }


def _container_config(labels: Mapping[str, str]) -> dict[str, Any]:
    user = user_of_its_own()
    return {
        "user": f"{user}:{user}",
        "working_dir": "/",
        "hostname": "sandbox",
        "labels": dict(labels),
        "stdin_open": True,
        "tty": False,
    }
