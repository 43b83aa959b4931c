"""Waiting for a request to end: one observer per request, one query for many requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from hitl_mcp.approvals.events import change_key
from hitl_mcp.approvals.models import RequestRecord, RequestStatus
from server_kit.clock import Clock
from server_kit.database.base import ChangeFeed

ReadRecord = Callable[[str], Awaitable[RequestRecord]]
ReadStatuses = Callable[[frozenset[str]], Awaitable[Mapping[str, RequestStatus]]]

_BATCH: Final = 500
_LONGEST_SLEEP_SECONDS: Final = 3600.0


@dataclass(slots=True)
class _Observer:
    task: asyncio.Task[RequestRecord]
    waiting: int = 0


class WaitingRoom:
    """Where callers wait. One that is cancelled or runs out of time leaves without a trace on the request.

    `read_record` records the timeout of a request whose time is up: no waiter depends on a dispatcher.
    """

    def __init__(
        self, changes: ChangeFeed, clock: Clock, read_record: ReadRecord, read_statuses: ReadStatuses
    ) -> None:
        self._changes = changes
        self._clock = clock
        self._read_record = read_record
        self._statuses = _BatchedStatuses(read_statuses)
        self._observers: dict[str, _Observer] = {}

    async def until_ended(self, request_id: str, timeout_seconds: float) -> RequestRecord | None:
        """The request once it has ended, None after `timeout_seconds`. Raises what reading it raises."""
        observer = self._observers.get(request_id)
        if observer is None or observer.task.done():
            observer = _Observer(asyncio.create_task(self._observe(request_id)))
            self._observers[request_id] = observer
        observer.waiting += 1
        try:
            async with asyncio.timeout(timeout_seconds):
                return await asyncio.shield(observer.task)
        except TimeoutError:
            return None
        finally:
            observer.waiting -= 1
            if observer.waiting == 0:
                observer.task.cancel()
                if self._observers.get(request_id) is observer:
                    del self._observers[request_id]

    async def _observe(self, request_id: str) -> RequestRecord:
        async with self._changes.watch(change_key(request_id)) as watch:
            while True:
                record = await self._read_record(request_id)
                if record.request.status.is_terminal:
                    return record
                expires_at = record.request.expires_at
                while await self._is_pending(request_id):
                    left = (expires_at - self._clock.now()).total_seconds()
                    if left <= 0:
                        break
                    await watch.wait(min(left, _LONGEST_SLEEP_SECONDS))

    async def _is_pending(self, request_id: str) -> bool:
        return await self._statuses.read(request_id) is RequestStatus.PENDING


class _BatchedStatuses:
    """Reads asked for at one time become one query: a foreign commit may wake every waiter at once."""

    def __init__(self, read_statuses: ReadStatuses) -> None:
        self._read_statuses = read_statuses
        self._asked: dict[str, asyncio.Future[RequestStatus | None]] = {}
        self._flush: asyncio.Task[None] | None = None

    async def read(self, request_id: str) -> RequestStatus | None:
        answer = self._asked.get(request_id)
        if answer is None:
            answer = asyncio.get_running_loop().create_future()
            self._asked[request_id] = answer
        if self._flush is None:
            self._flush = asyncio.create_task(self._answer_all())
        return await asyncio.shield(answer)

    async def _answer_all(self) -> None:
        try:
            while self._asked:
                # Those woken by the same event ask in this turn of the loop; then they share the query.
                await asyncio.sleep(0)
                batch = {key: self._asked.pop(key) for key in list(self._asked)[:_BATCH]}
                await self._answer(batch)
        finally:
            self._flush = None

    async def _answer(self, batch: Mapping[str, asyncio.Future[RequestStatus | None]]) -> None:
        try:
            found = await self._read_statuses(frozenset(batch))
        except Exception as error:
            for answer in batch.values():
                if not answer.done():
                    answer.set_exception(error)
                    answer.exception()
            return
        for request_id, answer in batch.items():
            if not answer.done():
                answer.set_result(found.get(request_id))
