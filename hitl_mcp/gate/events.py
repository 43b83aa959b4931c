"""What happens at a gate, as typed events for the program around it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from hitl_mcp.gate.values import GateRequest

_KEPT: Final = 1000


@dataclass(frozen=True, slots=True)
class Requested:
    """Approval was asked for, or is waited for again."""

    request: GateRequest


@dataclass(frozen=True, slots=True)
class Received:
    """Approval was given."""

    request: GateRequest


@dataclass(frozen=True, slots=True)
class Denied:
    """A person, a rule or a callback said no, or the request was cancelled."""

    request: GateRequest


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Nobody decided in time."""

    request: GateRequest


GateEvent = Requested | Received | Denied | TimedOut
Handler = Callable[[GateEvent], Awaitable[None] | None]


class EventHub:
    """Hands events to handlers and iterators. Neither can change what was decided, or hold it up."""

    def __init__(self) -> None:
        self._handlers: list[Handler] = []
        self._queues: set[asyncio.Queue[GateEvent]] = set()

    def on(self, handler: Handler) -> None:
        self._handlers.append(handler)

    async def events(self) -> AsyncIterator[GateEvent]:
        """Events from the first step of this iteration on; an iterator that lags behind misses old ones."""
        queue: asyncio.Queue[GateEvent] = asyncio.Queue(_KEPT)
        self._queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)

    async def emit(self, event: GateEvent) -> None:
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)
        for handler in self._handlers:
            try:
                outcome = handler(event)
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception as error:
                structlog.get_logger(__name__).warning("event_handler_failed", error=type(error).__name__)
