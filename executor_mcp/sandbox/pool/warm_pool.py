"""The pool: keeps containers waiting, hands each out once, and makes them off the callers' way."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from executor_mcp.sandbox.errors import SandboxBusy, SandboxError
from executor_mcp.sandbox.pool.classes import ClassReport, WarmClass
from executor_mcp.sandbox.pool.container import WarmContainer
from executor_mcp.sandbox.pool.launching import Launcher
from executor_mcp.sandbox.pool.sizing import Demand, expected_wait, wanted
from executor_mcp.sandbox.pool.slots import Event, Slot, State
from executor_mcp.sandbox.settings import PoolSettings

_TICK_SECONDS = 5.0
_COURTESY_SECONDS = 0.01
_FIRST_LAUNCH_SECONDS = 0.5
_LAUNCH_MEMORY = 0.2
_LONGEST_PAUSE_SECONDS = 60.0
_FAILURES_IN_A_ROW = 3
"""An engine under load refuses one launch now and then; when it refuses so many it is not the load."""


@dataclass(eq=False)
class _Member:
    """A container of the pool with its state."""

    kind: WarmClass
    slot: Slot = field(default_factory=Slot)
    container: WarmContainer | None = None
    ready_at: float = 0.0


@dataclass(eq=False)
class _Class:
    """What waits of one class, who waits for it, and what was asked for lately."""

    minimum: int
    ready: deque[_Member] = field(default_factory=deque[_Member])
    waiting: deque[asyncio.Future[_Member | None]] = field(
        default_factory=deque[asyncio.Future["_Member | None"]]
    )
    launching: int = 0
    demand: Demand = field(default_factory=Demand)


@dataclass(frozen=True)
class PoolReport:
    """The pool as it is now, for people. Seconds.

    `problem` is what keeps it from launching now; `last_failure` stays when that is over.
    """

    ready: int
    launching: int
    taken: int
    waiting_callers: int
    classes: int
    launched: int
    served_warm: int
    served_cold: int
    launch_seconds: float
    failed_launches: int
    last_failure: str | None
    problem: str | None
    kinds: tuple[ClassReport, ...] = ()


class WarmPool:
    """Promises:

    1. A member is handed out in state WARM alone, and is TAKEN before anybody else can see it.
    2. What was taken is removed, never put back.
    3. At most `launches_at_a_time` launches, and as many removals, are under way.
    4. A caller finds a container, waits in a bounded queue, is sent to a cold start, or is told how long it
       would be.
    """

    def __init__(self, launcher: Launcher, settings: PoolSettings) -> None:
        self._launcher = launcher
        self._settings = settings
        self._classes: dict[WarmClass, _Class] = {}
        self._members: set[_Member] = set()
        self._by_container: dict[WarmContainer, _Member] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._removals = asyncio.Semaphore(settings.launches_at_a_time)
        self._wake = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        self._launch_seconds = _FIRST_LAUNCH_SECONDS
        self._failures = 0
        self._not_before = 0.0
        self._problem: str | None = None
        self._last_failure: str | None = None
        self._failed = self._launched = self._warm = self._cold = 0
        self._log = structlog.get_logger("executor.pool")

    def keep(self, kind: WarmClass) -> None:
        """Make this the class of which the minimum always waits. The pool works from here on."""
        for other, entry in self._classes.items():
            entry.minimum = 0
            if other.image != kind.image:
                # The image's name has come to mean another image: what waits would run the old one.
                entry.demand = Demand()
                self._shrink(entry, 0)
        self._classes.setdefault(kind, _Class(0)).minimum = self._settings.minimum
        if self._keeper is None and not self._closed:
            self._keeper = asyncio.create_task(self._keep())
        self._wake.set()

    async def take(self, kind: WarmClass) -> WarmContainer | None:
        """A container for one use; None when a cold start is the better answer.

        Raises SandboxBusy when too many wait, or none came in time.
        """
        if self._closed or self._keeper is None:
            return None
        now = time.monotonic()
        entry = self._classes.get(kind)
        if entry is None:
            entry = self._classes[kind] = _Class(0)
        entry.demand = entry.demand.noted(now)
        self._wake.set()
        while entry.ready:
            member = entry.ready.popleft()
            if member.container is not None and member.container.is_alive:
                return self._hand_out(member)
            self._retire(member)
        # No class has one waiting until it is asked for again and again: the first callers start cold.
        if self._target(entry, now) == 0 or self._is_pausing(now):
            self._cold += 1
            return None
        return await self._wait(entry)

    def release(self, container: WarmContainer) -> None:
        """The caller is through with it. Does nothing the second time."""
        member = self._by_container.get(container)
        if member is not None and member.slot.state is State.TAKEN:
            self._retire(member)

    def report(self) -> PoolReport:
        states = [member.slot.state for member in tuple(self._members)]
        taken = [member.kind for member in tuple(self._members) if member.slot.state is State.TAKEN]
        return PoolReport(
            ready=states.count(State.WARM),
            launching=states.count(State.LAUNCHING),
            taken=states.count(State.TAKEN),
            waiting_callers=sum(len(entry.waiting) for entry in self._classes.values()),
            classes=sum(bool(entry.ready or entry.launching) for entry in self._classes.values()),
            launched=self._launched,
            served_warm=self._warm,
            served_cold=self._cold,
            launch_seconds=self._launch_seconds,
            failed_launches=self._failed,
            last_failure=self._last_failure,
            problem=self._problem,
            kinds=tuple(
                ClassReport(
                    kind, one.minimum, len(one.ready), one.launching, taken.count(kind), len(one.waiting)
                )
                for kind, one in tuple(self._classes.items())
            ),
        )

    async def until_idle(self, ready: int = 0) -> None:
        """Returns when nothing is being launched or removed and so many wait; for measurements and tests."""
        while self._work or self.report().ready < ready:
            await asyncio.wait(self._work or [asyncio.create_task(asyncio.sleep(_COURTESY_SECONDS))])

    async def close(self) -> None:
        """Removes every container; those in use too, whose runs have to be over by now."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        for entry in self._classes.values():
            self._shrink(entry, 0)
            self._send_waiting_away(entry)
        for member in tuple(self._members):
            if member.slot.state in (State.WARM, State.TAKEN):
                self._retire(member)
        await self.until_idle()
        await self._launcher.close()

    async def _wait(self, entry: _Class) -> WarmContainer | None:
        seconds = expected_wait(len(entry.waiting), self._launch_seconds, self._settings.launches_at_a_time)
        if len(entry.waiting) >= self._settings.most_waiting or seconds > self._settings.patience_seconds:
            raise SandboxBusy(f"{len(entry.waiting)} callers wait for a warm sandbox", seconds)
        turn: asyncio.Future[_Member | None] = asyncio.get_running_loop().create_future()
        entry.waiting.append(turn)
        try:
            async with asyncio.timeout(self._settings.patience_seconds):
                member = await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and (handed := turn.result()) is not None:
                entry.ready.appendleft(handed)
            if isinstance(error, TimeoutError) and not self._launched:
                # Whatever keeps this pool from ever making one, a cold start may still work, or say.
                self._cold += 1
                return None
            if isinstance(error, TimeoutError):
                raise SandboxBusy("no warm sandbox came in time", seconds) from error
            raise
        finally:
            if turn in entry.waiting:
                entry.waiting.remove(turn)
        if member is None:
            self._cold += 1
            return None
        return self._hand_out(member)

    def _hand_out(self, member: _Member) -> WarmContainer:
        member.slot.happened(Event.TAKE)
        assert member.container is not None
        self._warm += 1
        self._wake.set()
        return member.container

    async def _keep(self) -> None:
        while True:
            self._wake.clear()
            if not any(entry.waiting for entry in self._classes.values()):
                # Whoever was just handed a container is let run first.
                await asyncio.sleep(_COURTESY_SECONDS)
            self._plan(time.monotonic())
            try:
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _plan(self, now: float) -> None:
        """Launch what is missing, those first for whom somebody waits; retire what is old or too many."""
        if self._is_pausing(now):
            return
        for entry in self._classes.values():
            self._retire_old(entry, now)
            self._shrink(entry, self._target(entry, now) + 1)
        for kind, entry in sorted(self._classes.items(), key=lambda item: -len(item[1].waiting)):
            missing = self._target(entry, now) + len(entry.waiting) - len(entry.ready) - entry.launching
            if entry.waiting and self._room() <= 0:
                self._make_room(entry)
            under_way = sum(other.launching for other in self._classes.values())
            room = min(self._room(), self._settings.launches_at_a_time - under_way)
            for _ in range(min(missing, room)):
                self._launch(kind, entry)
        self._forget_unused(now)

    def _make_room(self, needy: _Class) -> None:
        """One that waits for nobody gives way to one that somebody waits for."""
        for entry in self._classes.values():
            if entry is not needy and entry.ready and not entry.waiting:
                self._retire(entry.ready.popleft())
                return

    def _target(self, entry: _Class, now: float) -> int:
        return wanted(
            entry.demand.at(now),
            self._launch_seconds,
            minimum=entry.minimum,
            maximum=self._settings.maximum,
            worth_keeping=self._settings.worth_keeping,
        )

    def _room(self) -> int:
        idle = sum(member.slot.state in (State.LAUNCHING, State.WARM) for member in self._members)
        return self._settings.maximum - idle

    def _is_pausing(self, now: float) -> bool:
        return now < self._not_before

    def _launch(self, kind: WarmClass, entry: _Class) -> None:
        member = _Member(kind)
        self._members.add(member)
        entry.launching += 1
        self._do(self._launch_one(member, entry))

    async def _launch_one(self, member: _Member, entry: _Class) -> None:
        began = time.monotonic()
        try:
            container = await self._launcher.launch(member.kind)
        except (SandboxError, OSError) as error:
            self._note_failure(error, entry)
            self._members.discard(member)
            return
        finally:
            entry.launching -= 1
            self._wake.set()
        now = time.monotonic()
        self._launch_seconds += _LAUNCH_MEMORY * (now - began - self._launch_seconds)
        self._failures, self._problem = 0, None
        self._launched += 1
        member.container, member.ready_at = container, now
        self._by_container[container] = member
        member.slot.happened(Event.READY)
        container.watch(
            ended=lambda: self._ended(member),
            released=lambda: self.release(container),
        )
        if self._closed or not container.is_alive:
            self._retire(member)
            return
        while entry.waiting:
            turn = entry.waiting.popleft()
            if not turn.done():
                turn.set_result(member)
                return
        entry.ready.append(member)

    def _note_failure(self, error: Exception, entry: _Class) -> None:
        """A failure is tried again while its caller waits; after some the engine is left alone a while."""
        self._failures += 1
        self._failed += 1
        self._last_failure = str(error)
        if self._failures < _FAILURES_IN_A_ROW:
            self._log.warning("warm_sandbox_not_made", problem=str(error), next_try_seconds=0)
            return
        self._problem = str(error)
        pause = min(_LONGEST_PAUSE_SECONDS, 2.0 ** (self._failures - _FAILURES_IN_A_ROW + 1))
        self._not_before = time.monotonic() + pause
        self._log.warning("warm_sandbox_not_made", problem=str(error), next_try_seconds=pause)
        # A cold start has its own way to work, or to say what is wrong.
        self._send_waiting_away(entry)

    @staticmethod
    def _send_waiting_away(entry: _Class) -> None:
        while entry.waiting:
            turn = entry.waiting.popleft()
            if not turn.done():
                turn.set_result(None)

    def _ended(self, member: _Member) -> None:
        """It died by itself: one that waits is replaced, one that is taken is its run's to notice."""
        if member.slot.state is State.WARM:
            entry = self._classes[member.kind]
            if member in entry.ready:
                entry.ready.remove(member)
                self._retire(member)
                self._wake.set()

    def _retire_old(self, entry: _Class, now: float) -> None:
        while entry.ready and now - entry.ready[0].ready_at > self._settings.max_age_seconds:
            self._retire(entry.ready.popleft())

    def _shrink(self, entry: _Class, most: int) -> None:
        while len(entry.ready) > most:
            self._retire(entry.ready.popleft())

    def _forget_unused(self, now: float) -> None:
        unused = [
            kind
            for kind, entry in self._classes.items()
            if not (entry.minimum or entry.ready or entry.waiting or entry.launching)
            and self._target(entry, now) == 0
            and now - entry.demand.updated > self._settings.max_age_seconds
        ]
        for kind in unused:
            del self._classes[kind]

    def _retire(self, member: _Member) -> None:
        member.slot.happened(Event.RETIRE)
        self._do(self._remove(member))

    async def _remove(self, member: _Member) -> None:
        assert member.container is not None
        await self._launcher.end(member.container)
        async with self._removals:
            await self._launcher.remove(member.container)
        member.slot.happened(Event.REMOVED)
        self._members.discard(member)
        del self._by_container[member.container]

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
