"""Waiting for a request to end, or for a question about it: one observer per request, one query for many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from hitl_mcp.approvals.events import change_key
from hitl_mcp.approvals.models import RequestRecord, RequestStatus
from server_kit.clock import Clock
from server_kit.database.base import ChangeFeed

T = TypeVar("T")

ReadRecord = Callable[[str], Awaitable[RequestRecord]]
ReadStatuses = Callable[[frozenset[str]], Awaitable[Mapping[str, RequestStatus]]]
ReadVersions = Callable[[frozenset[str]], Awaitable[Mapping[str, int]]]

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
        self,
        changes: ChangeFeed,
        clock: Clock,
        read_record: ReadRecord,
        read_statuses: ReadStatuses,
        read_versions: ReadVersions,
    ) -> None:
        self._changes = changes
        self._clock = clock
        self._read_record = read_record
        self._statuses = _Batched(read_statuses)
        self._versions = _Batched(read_versions)
        self._observers: dict[tuple[str, bool], _Observer] = {}
        self._limits: set[asyncio.Timeout] = set()
        self._closed = False

    def close(self) -> None:
        """Send everybody out as if their time were up, and from now on all who come: the process is ending.

        They learn how things stand and ask again elsewhere, instead of holding up the end.
        """
        self._closed = True
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())

    async def until_ended(
        self, request_id: str, timeout_seconds: float, *, or_asked: bool = False
    ) -> RequestRecord | None:
        """The request once it has ended, None after `timeout_seconds`. Raises what reading it raises.

        `or_asked`: as well once there is a question about it that its agent has not answered.
        """
        key = (request_id, or_asked)
        observer = self._observers.get(key)
        if observer is None or observer.task.done():
            observer = _Observer(asyncio.create_task(self._observe(request_id, or_asked)))
            self._observers[key] = observer
        observer.waiting += 1
        try:
            async with asyncio.timeout(0 if self._closed else timeout_seconds) as limit:
                self._limits.add(limit)
                try:
                    return await asyncio.shield(observer.task)
                finally:
                    self._limits.discard(limit)
        except TimeoutError:
            return None
        finally:
            observer.waiting -= 1
            if observer.waiting == 0:
                observer.task.cancel()
                if self._observers.get(key) is observer:
                    del self._observers[key]

    async def _observe(self, request_id: str, or_asked: bool) -> RequestRecord:
        async with self._changes.watch(change_key(request_id)) as watch:
            while True:
                record = await self._read_record(request_id)
                if record.request.status.is_terminal or (or_asked and record.open_question is not None):
                    return record
                expires_at = record.request.expires_at
                while await self._stands(record, or_asked):
                    left = (expires_at - self._clock.now()).total_seconds()
                    if left <= 0:
                        break
                    await watch.wait(min(left, _LONGEST_SLEEP_SECONDS))

    async def _stands(self, record: RequestRecord, or_asked: bool) -> bool:
        """Whether nothing has happened that is waited for."""
        request = record.request
        if or_asked:
            return await self._versions.read(request.request_id) == request.version
        return await self._statuses.read(request.request_id) is RequestStatus.PENDING


class _Batched(Generic[T]):
    """Reads asked for at one time become one query: a foreign commit may wake every waiter at once."""

    def __init__(self, read_all: Callable[[frozenset[str]], Awaitable[Mapping[str, T]]]) -> None:
        self._read_all = read_all
        self._asked: dict[str, asyncio.Future[T | None]] = {}
        self._flush: asyncio.Task[None] | None = None

    async def read(self, request_id: str) -> T | None:
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

    async def _answer(self, batch: Mapping[str, asyncio.Future[T | None]]) -> None:
        try:
            found = await self._read_all(frozenset(batch))
        except Exception as error:
            for answer in batch.values():
                if not answer.done():
                    answer.set_exception(error)
                    answer.exception()
            return
        for request_id, answer in batch.items():
            if not answer.done():
                answer.set_result(found.get(request_id))
