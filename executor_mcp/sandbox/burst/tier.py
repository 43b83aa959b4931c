"""The outer containers, one for each principal, and when each is made, replaced and removed."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from executor_mcp.sandbox.amounts import Amounts
from executor_mcp.sandbox.burst.execution import BurstExecution
from executor_mcp.sandbox.burst.life import Life, is_worn, needs_successor
from executor_mcp.sandbox.burst.outer import OuterContainer
from executor_mcp.sandbox.control_groups import ControlGroups
from executor_mcp.sandbox.errors import SandboxError, SandboxUnavailable
from executor_mcp.sandbox.settings import BurstSettings

_BREATHER_SECONDS = 10.0
_LONGEST_BREATHER_SECONDS = 600.0
"""After launches that failed, twice as long after each: the engine is not asked again by every call."""


class NoRoom(Exception):
    """The tier is full; another sandbox has to take the program."""


class Launcher(Protocol):
    """What the tier needs of an engine."""

    async def launch(self, image: str) -> OuterContainer: ...


@dataclass(frozen=True, slots=True)
class BurstReport:
    """What there is now, and what has happened since the start."""

    containers: int
    live: int
    launched: int
    executions: int
    condemned: int
    problem: str | None


@dataclass(slots=True)
class _Counts:
    launched: int = 0
    executions: int = 0
    condemned: int = 0


class BurstTier:
    """What holds of the outer containers:

    1. two principals never share one;
    2. one of a principal takes executions, and one that is worn waits for those that it has;
    3. what is condemned, worn and empty, or idle is removed.
    """

    def __init__(self, launcher: Launcher, groups: ControlGroups, settings: BurstSettings) -> None:
        self._launcher = launcher
        self._groups = groups
        self._settings = settings
        self._current: dict[str, OuterContainer] = {}
        self._all: set[OuterContainer] = set()
        self._launching: dict[str, asyncio.Task[OuterContainer]] = {}
        self._removing: set[asyncio.Task[None]] = set()
        self._not_before = float("-inf")
        self._breather = _BREATHER_SECONDS
        self._problem: str | None = None
        self._counts = _Counts()
        self._idle = asyncio.Event()
        self._janitor: asyncio.Task[None] | None = None
        self._closed = False

    def report(self) -> BurstReport:
        return BurstReport(
            containers=len(self._all),
            live=sum(outer.live for outer in self._all),
            launched=self._counts.launched,
            executions=self._counts.executions,
            condemned=self._counts.condemned,
            problem=self._problem,
        )

    async def spawn(self, principal: str, image: str, amounts: Amounts) -> BurstExecution:
        """Raises NoRoom, or SandboxUnavailable."""
        try:
            name = f"burst-{secrets.token_hex(8)}"
            group = await self._groups.make(name, amounts)
        except OSError as error:
            raise SandboxUnavailable(f"a control group could not be made: {error}") from error
        try:
            outer = await self._outer_of(principal, image)
            while outer.life is not Life.OPEN or not outer.has_user:
                # Replaced while this caller waited its turn; or those that have ended are not over yet.
                if outer.life is Life.OPEN and not await outer.one_is_over():
                    raise NoRoom
                outer = await self._outer_of(principal, image)
            if outer.running >= self._settings.most_at_a_time:
                raise NoRoom
            execution = await outer.spawn(amounts, group)
        except BaseException:
            await asyncio.to_thread(group.remove)
            raise
        self._counts.executions += 1
        return execution

    async def until_quiet(self) -> None:
        """Until nothing is live, being made or being removed."""
        while self._launching or self._removing or any(outer.live for outer in self._all):
            self._idle.clear()
            waiting = asyncio.create_task(self._idle.wait())
            await asyncio.wait(
                {waiting, *self._launching.values(), *self._removing}, return_when=asyncio.FIRST_COMPLETED
            )
            waiting.cancel()

    async def close(self) -> None:
        self._closed = True
        if self._janitor is not None:
            self._janitor.cancel()
            await asyncio.gather(self._janitor, return_exceptions=True)
        launching = tuple(self._launching.values())
        for task in launching:
            task.cancel()
        await asyncio.gather(*launching, return_exceptions=True)
        for outer in tuple(self._all):
            self._remove_later(outer)
        await asyncio.gather(*self._removing)

    async def _outer_of(self, principal: str, image: str) -> OuterContainer:
        outer = self._current.get(principal)
        if outer is not None:
            age = time.monotonic() - outer.made_at
            if outer.image != image or is_worn(self._settings, executions=outer.executions, age=age):
                outer.retire()
            elif needs_successor(self._settings, executions=outer.executions, age=age):
                self._launch_for(principal, image)
            if outer.life is Life.OPEN:
                return outer
        return await asyncio.shield(self._launch_for(principal, image))

    def _launch_for(self, principal: str, image: str) -> asyncio.Task[OuterContainer]:
        """One launch at a time for a principal. Raises NoRoom or SandboxUnavailable."""
        task = self._launching.get(principal)
        if task is None:
            if time.monotonic() < self._not_before:
                raise SandboxUnavailable(f"the burst tier cannot run anything now: {self._problem}")
            if principal not in self._current:
                self._make_room()
            task = asyncio.create_task(self._launch(principal, image))
            self._launching[principal] = task
            task.add_done_callback(lambda done: self._launched(principal, done))
        return task

    def _make_room(self) -> None:
        if len(self._current) + len(self._launching) < self._settings.most_containers:
            return
        idle = [outer for outer in self._current.values() if outer.live == 0]
        if not idle:
            raise NoRoom
        min(idle, key=lambda outer: outer.used_at).retire()

    async def _launch(self, principal: str, image: str) -> OuterContainer:
        outer = await self._launcher.launch(image)
        if self._closed:
            await outer.remove()
            raise SandboxUnavailable("the executor is closing")
        self._all.add(outer)
        predecessor, self._current[principal] = self._current.get(principal), outer
        outer.watch(lambda: self._changed(principal, outer))
        if predecessor is not None:
            predecessor.retire()
        if self._janitor is None:
            self._janitor = asyncio.create_task(self._sweep())
        self._counts.launched += 1
        return outer

    def _launched(self, principal: str, task: asyncio.Task[OuterContainer]) -> None:
        self._launching.pop(principal, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._not_before = time.monotonic() + self._breather
            self._breather = min(2 * self._breather, _LONGEST_BREATHER_SECONDS)
            self._problem = str(error)
        else:
            self._breather = _BREATHER_SECONDS
        self._idle.set()

    def _changed(self, principal: str, outer: OuterContainer) -> None:
        """3."""
        if outer.life is not Life.OPEN and self._current.get(principal) is outer:
            del self._current[principal]
        if outer.life is Life.CONDEMNED or (outer.life is Life.RETIRING and outer.live == 0):
            self._remove_later(outer)
        self._idle.set()

    def _remove_later(self, outer: OuterContainer) -> None:
        if outer not in self._all:
            return
        self._all.discard(outer)
        if outer.life is Life.CONDEMNED:
            self._counts.condemned += 1
            self._problem = outer.problem
        removal = asyncio.create_task(self._remove(outer))
        self._removing.add(removal)
        removal.add_done_callback(self._removed)

    def _removed(self, removal: asyncio.Task[None]) -> None:
        self._removing.discard(removal)
        self._idle.set()

    async def _remove(self, outer: OuterContainer) -> None:
        # What the engine does not remove now has this process's label, and is a leftover when it is gone.
        with suppress(SandboxError):
            await outer.remove()

    async def _sweep(self) -> None:
        """Retires what nobody has used for long, and what is too old."""
        while True:
            await asyncio.sleep(self._settings.idle_seconds / 4)
            now = time.monotonic()
            for outer in tuple(self._current.values()):
                idle = outer.live == 0 and now - outer.used_at >= self._settings.idle_seconds
                if idle or is_worn(self._settings, executions=outer.executions, age=now - outer.made_at):
                    outer.retire()
