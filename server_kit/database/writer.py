"""The one writer of a process: takes operations in turn and commits those that wait together in one
transaction.

What a commit costs (a flush to the disk, a round trip) is shared by everybody who waited for the one before.
Each operation after the first of a group runs in a savepoint, so a failing one is undone alone. A group that
is lost as a whole is run again, each operation by itself, unless it may have been committed.

The writer owns its connection; callers only hand over an operation and wait, so a caller that is cancelled
leaves the connection in order: what had not begun is dropped, what had begun is finished.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from server_kit.database.base import Operation
from server_kit.errors import DatabaseUnavailable, ServerError

T = TypeVar("T")

GROUP_OPERATIONS = 64
GROUP_SECONDS = 0.05
MAX_RUNS = 5


class TransactionLost(Exception):
    """The transaction is gone and certainly not committed; `cause` says why, `again` whether a retry may
    succeed.
    """

    def __init__(self, cause: Exception, *, again: bool) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.again = again


class OperationTimedOut(DatabaseUnavailable):
    """An operation held the writer too long and was undone."""


class WriteSession(Protocol):
    """A transaction on the writer's connection. Implemented once per dialect.

    Every method raises TransactionLost when the transaction is gone, or DatabaseUnavailable when it may have
    been committed or none can be begun.
    """

    async def begin(self, patience_seconds: float) -> AsyncConnection: ...

    async def savepoint(self) -> None: ...

    async def release(self) -> None: ...

    async def undo_to_savepoint(self, error: BaseException) -> None:
        """Undo one operation after `error`; raises TransactionLost when that took the whole transaction with
        it.
        """
        ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None:
        """End the transaction whatever state it is in; never raises."""
        ...

    def explain(self, error: BaseException) -> TransactionLost | None:
        """Return what `error`, raised by an operation, says about the transaction; None when it is the
        caller's own.
        """
        ...

    async def close(self) -> None: ...


@dataclass(eq=False)
class _Job:
    operation: Operation[Any]
    context: contextvars.Context
    asked_at: float
    outcome: asyncio.Future[Any]
    result: Any = None
    runs: int = 0

    def succeed(self) -> None:
        if not self.outcome.done():
            self.outcome.set_result(self.result)

    def fail(self, error: BaseException) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)


@dataclass
class WriterStatistics:
    """How many transactions were committed, and for how many operations."""

    commits: int = 0
    operations: int = 0


@dataclass
class _Group:
    connection: AsyncConnection
    finished: list[_Job] = field(default_factory=list[_Job])


class GroupWriter:
    """Runs operations one after another on a `WriteSession`.

    `take_published` returns and forgets what the operation that just ran announced; `committed` is told what
    was announced by everything in a transaction once it is durable.
    """

    def __init__(
        self,
        session: WriteSession,
        *,
        take_published: Callable[[], list[Any]],
        committed: Callable[[list[Any]], None],
        patience_seconds: float,
        operation_seconds: float,
    ) -> None:
        self.statistics = WriterStatistics()
        self._session = session
        self._take_published = take_published
        self._committed = committed
        self._patience_seconds = patience_seconds
        self._operation_seconds = operation_seconds
        self._waiting: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._published: list[Any] = []
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name="database writer")

    async def write(self, operation: Operation[T]) -> T:
        if self._closing:
            raise DatabaseUnavailable("the database is closed: this server is shutting down")
        job = _Job(operation, contextvars.copy_context(), self._loop.time(), self._loop.create_future())
        self._waiting.append(job)
        self._arrived.set()
        return cast("T", await job.outcome)

    async def close(self) -> None:
        self._closing = True
        self._arrived.set()
        await self._task
        await self._session.close()

    async def _run(self) -> None:
        try:
            while self._waiting or not self._closing:
                self._arrived.clear()
                if not self._waiting:
                    await self._arrived.wait()
                while self._waiting:
                    await self._run_group(self._waiting, GROUP_OPERATIONS)
        finally:
            self._closing = True
            for job in self._waiting:
                job.fail(DatabaseUnavailable("the database was closed before this operation began"))

    async def _run_group(self, source: deque[_Job], limit: int) -> None:
        group: _Group | None = None
        members: list[_Job] = []
        until = self._loop.time() + GROUP_SECONDS
        self._published = []
        try:
            while source and len(members) < limit and (not members or self._loop.time() < until):
                if source[0].outcome.done():
                    source.popleft()
                    continue
                group = group or await self._begin(source)
                if group is None:
                    return
                job = source.popleft()
                members.append(job)
                group = await self._run_job(job, group)
            if group is not None:
                await self._session.commit()
                self._finish(group)
        except TransactionLost as lost:
            await self._session.rollback()
            await self._run_again(members, lost)
        except BaseException as error:
            await self._session.rollback()
            for job in members:
                job.fail(error)
            if not isinstance(error, Exception):
                raise

    def _finish(self, group: _Group) -> None:
        self.statistics.commits += 1
        self.statistics.operations += len(group.finished)
        self._committed(self._published)
        for job in group.finished:
            job.succeed()

    async def _begin(self, source: deque[_Job]) -> _Group | None:
        """Begin, or fail everybody who waited when the attempt began and return None."""
        began = self._loop.time()
        patience = max(0.0, source[0].asked_at + self._patience_seconds - began)
        try:
            return _Group(await self._session.begin(patience))
        except ServerError as error:
            while source and source[0].asked_at <= began:
                source.popleft().fail(error)
            return None

    async def _run_job(self, job: _Job, group: _Group) -> _Group | None:
        """Run one operation; returns the group, or None when its transaction was ended because nothing is
        left in it.
        """
        nested = bool(group.finished)
        if nested:
            await self._session.savepoint()
        job.runs += 1
        try:
            job.result = await self._in_callers_context(job, group.connection)
        except BaseException as error:
            if self._task.cancelling():
                raise
            self._take_published()
            lost = self._session.explain(error)
            if lost is not None:
                raise lost from error
            if nested:
                await self._session.undo_to_savepoint(error)
                job.fail(error)
                return group
            await self._session.rollback()
            job.fail(error)
            return None
        if nested:
            await self._session.release()
        self._published += self._take_published()
        group.finished.append(job)
        return group

    async def _in_callers_context(self, job: _Job, connection: AsyncConnection) -> Any:
        """Run the operation as a task of its own: it sees its caller's context variables and cannot cancel
        the writer.
        """

        async def run() -> Any:
            async with asyncio.timeout(self._operation_seconds):
                try:
                    return await job.operation(connection)
                except TimeoutError as error:
                    raise _CallersOwn(error) from error

        try:
            return await self._loop.create_task(run(), context=job.context)
        except _CallersOwn as wrapped:
            raise wrapped.error from wrapped.error.__cause__
        except TimeoutError as error:
            message = (
                f"an operation held the database longer than {self._operation_seconds:g} s and was undone"
            )
            raise OperationTimedOut(message) from error

    async def _run_again(self, members: list[_Job], lost: TransactionLost) -> None:
        """After a lost group each operation gets a transaction of its own; one that was alone only if that
        may help.
        """
        again = deque(job for job in members if not job.outcome.done())
        if len(again) == 1 and not lost.again:
            again.popleft().fail(lost.cause)
        for job in again:
            if job.runs >= MAX_RUNS:
                job.fail(lost.cause)
        while again:
            await self._run_group(again, 1)


class _CallersOwn(Exception):
    def __init__(self, error: TimeoutError) -> None:
        self.error = error
