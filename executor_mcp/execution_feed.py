"""What happens to one execution, as it happens, for one reader that takes it at its own pace.

A reader holds a position and nothing is kept for it: the output so far is there anyway, so a reader that is
slow, stands still or comes back later gets the same bytes, and one that goes away leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from executor_mcp.errors import TooManyReaders
from executor_mcp.live_output import PIECE_BYTES, Chunk, LiveExecution, Position, Stream
from executor_mcp.models import Execution, Outcome
from executor_mcp.sandbox.usage import UsageSample

IDLE_SECONDS: Final = 15.0
MOST_READERS: Final = 256
MOST_READERS_OF_ONE: Final = 16


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """It stands like this now and has not ended."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class OutputEvent:
    """It has written this."""

    chunk: Chunk


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """It uses this much now."""

    sample: UsageSample


@dataclass(frozen=True, slots=True)
class IdleEvent:
    """Nothing for 15 seconds; says that the reader is still thought of."""


@dataclass(frozen=True, slots=True)
class EndEvent:
    """It has ended. The last event."""

    execution: Execution


Event = StatusEvent | OutputEvent | UsageEvent | IdleEvent | EndEvent


class Executions(Protocol):
    """What the feed reads of the service."""

    async def get(self, execution_id: str, *, wait_seconds: float = 0.0) -> Execution:
        """Raises ExecutionNotFound."""
        ...

    def live(self, execution_id: str) -> LiveExecution | None: ...

    async def stored_output(self, execution_id: str, position: Position) -> tuple[Chunk, ...]:
        """What a program that runs elsewhere has put down after `position`, like `LiveExecution.since`."""
        ...


class Readers:
    """How many follow an execution now. Each costs a task and a piece of output."""

    def __init__(self, most: int = MOST_READERS, most_of_one: int = MOST_READERS_OF_ONE) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._by_execution: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(self._by_execution.values())

    @contextmanager
    def one_more(self, execution_id: str) -> Generator[None]:
        """Raises TooManyReaders."""
        of_this = self._by_execution.get(execution_id, 0)
        if of_this >= self._most_of_one or len(self) >= self._most:
            raise TooManyReaders(
                f"{of_this} readers follow this execution and {len(self)} follow any; at most "
                f"{self._most_of_one} and {self._most} may: close one, or ask with wait_seconds instead"
            )
        self._by_execution[execution_id] = of_this + 1
        try:
            yield
        finally:
            self._by_execution[execution_id] -= 1
            if not self._by_execution[execution_id]:
                del self._by_execution[execution_id]


async def follow(
    executions: Executions,
    execution_id: str,
    position: Position = Position(),  # noqa: B008 - a frozen value
    *,
    until: float | None = None,
) -> AsyncGenerator[tuple[Event, Position]]:
    """Events after `position`, each with the position behind it; ends with the end, or at the loop's time
    `until`.

    Raises:
        ExecutionNotFound: no execution has this id.
    """
    told = None
    recorded: Execution | None = None
    while True:
        execution = recorded or await executions.get(execution_id)
        if execution.outcome is not None:
            for chunk in _rest(execution.outcome, position):
                position = position.after(chunk)
                yield OutputEvent(chunk), position
            yield EndEvent(execution), position
            return
        if execution.status is not told:
            told = execution.status
            yield StatusEvent(execution), position
        live = executions.live(execution_id)
        if live is not None:
            position = _within(position, live.position)
            async for event, behind in _as_it_comes(live, position, until):
                position = behind
                yield event, behind
            recorded = live.recorded
        else:
            while chunks := await executions.stored_output(execution_id, position):
                for chunk in chunks:
                    position = position.after(chunk)
                    yield OutputEvent(chunk), position
            # Wakes at once when it has ended, and else looks again for what was put down meanwhile.
            await executions.get(execution_id, wait_seconds=min(1.0, _remaining(until)))
        if _remaining(until) <= 0:
            return


async def _as_it_comes(
    live: LiveExecution, position: Position, until: float | None
) -> AsyncGenerator[tuple[Event, Position]]:
    while True:
        ended, newest = live.ended, live.position
        chunks = live.since(position)
        for chunk in chunks:
            position = position.after(chunk)
            yield OutputEvent(chunk), position
        if newest.usage > position.usage and live.latest_usage is not None:
            position = replace(position, usage=newest.usage)
            yield UsageEvent(live.latest_usage), position
        if chunks:
            continue
        remaining = _remaining(until)
        if ended or remaining <= 0:
            return
        if not await live.wait(position, min(IDLE_SECONDS, remaining)) and _remaining(until) > 0:
            yield IdleEvent(), position


def _rest(outcome: Outcome, position: Position) -> Iterator[Chunk]:
    streams: tuple[tuple[Stream, bytes, int], ...] = (
        ("stdout", outcome.stdout, position.stdout),
        ("stderr", outcome.stderr, position.stderr),
    )
    for stream, content, seen in streams:
        for offset in range(seen, len(content), PIECE_BYTES):
            yield Chunk(stream, offset, content[offset : offset + PIECE_BYTES])


def _within(position: Position, end: Position) -> Position:
    """A position of an earlier life of the executor may lie beyond what is known now."""
    return Position(
        min(position.stdout, end.stdout), min(position.stderr, end.stderr), min(position.usage, end.usage)
    )


def _remaining(until: float | None) -> float:
    return IDLE_SECONDS if until is None else until - asyncio.get_running_loop().time()
