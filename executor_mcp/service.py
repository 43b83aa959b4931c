"""What the executor offers, apart from how it is asked: the tools and the REST routes are thin over this."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog

from executor_mcp.cancellation import CancelRequests
from executor_mcp.end_record import EndRecord
from executor_mcp.errors import ExecutionNotFound, InvalidArgument, OutputFileNotFound, RefusalReason, Refused
from executor_mcp.examination import Examiner, Verdict
from executor_mcp.executor_policy import ExecutorPolicy
from executor_mcp.gate import Enqueued, Gate
from executor_mcp.live_output import Chunk, LiveExecution, LiveExecutions, Position
from executor_mcp.models import Execution, ExecutionStatus, StoredFile
from executor_mcp.outcomes import never_begun
from executor_mcp.packages.addition_rules import AdditionRules
from executor_mcp.referenced_files import ReferencedFiles, without_references
from executor_mcp.runner import Runner
from executor_mcp.sandbox.base import SandboxDescription
from executor_mcp.storage.executions import MAX_PAGE, ExecutionStore, FileContent
from executor_mcp.storage.running_state import RunningState
from executor_mcp.storage.waiting import WaitingStore
from hitl_contract.action import action_digest, parse_action
from server_kit.database.base import Database
from server_kit.small_values import read_value

T = TypeVar("T")

_EXECUTION_ID = re.compile(r"exe_[a-z2-7]{26}\Z")
_MICROSECONDS = 1_000_000
_CLOSING_LOOK_SECONDS = 0.2
_STREAMS = {
    "/dev/stdout": ("stdout", "application/octet-stream"),
    "/dev/stderr": ("stderr", "application/octet-stream"),
    "/dev/result": ("result_json", "application/json"),
    "/dev/connections": ("connections_json", "application/json"),
}


@dataclass(frozen=True)
class Validation:
    """What would be said about an action, without a token and without running it."""

    action_digest: str
    verdict: Verdict


@dataclass(frozen=True)
class Page:
    """Executions, newest first, and where the next page begins."""

    executions: tuple[Execution, ...]
    next_cursor: str | None


class ExecutionService:
    """Admits, runs and reports. An admitted call goes on whatever becomes of the one who asked."""

    def __init__(
        self,
        *,
        gate: Gate,
        runner: Runner,
        executions: ExecutionStore,
        files: ReferencedFiles,
        queue: WaitingStore,
        end_record: EndRecord,
        live: LiveExecutions,
        examiner: Examiner,
        database: Database,
        cancel_requests: CancelRequests,
        running: RunningState,
    ) -> None:
        self._gate = gate
        self._running = running
        self._runner = runner
        self._executions = executions
        self._files = files
        self._queue = queue
        self._end_record = end_record
        self._live = live
        self._examiner = examiner
        self._database = database
        self._cancel_requests = cancel_requests
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._log = structlog.get_logger("executor.service")

    async def execute(self, capability_token: str, action: object | None) -> str:
        """The id of the execution that was admitted. It has begun, or waits for a place where there is a
        queue. Its end is read with `get`.

        Raises:
            Refused: nothing has run.
        """
        # Both parts are tasks of their own: a caller that goes away between them must not leave a spent token
        # unused.
        admission = self._own(self._admit_and_begin(capability_token, action))
        return await asyncio.shield(admission)

    async def _admit_and_begin(self, capability_token: str, action: object | None) -> str:
        if self._closing:
            raise Refused(RefusalReason.BUSY, "this executor is shutting down; the token is unspent", step=1)
        admitted = await self._gate.admit(capability_token, action)
        if isinstance(admitted, Enqueued):
            return admitted.execution_id
        self._own(self._runner.run(admitted))
        return admitted.execution.execution_id

    def own(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something to its end as a part of this service, which `close` waits for."""
        self._own(work)

    async def get(self, execution_id: str, *, wait_seconds: float = 0.0) -> Execution:
        """The execution, once it has ended or `wait_seconds` have passed.

        Raises:
            ExecutionNotFound: no execution has this id.
        """
        deadline = asyncio.get_running_loop().time() + wait_seconds
        live = self._live.get(execution_id) if wait_seconds > 0 else None
        if live is not None and (recorded := await live.until_recorded(wait_seconds)) is not None:
            # What was recorded here need not be read to be known.
            return recorded
        execution = await self._get(execution_id)
        if deadline <= asyncio.get_running_loop().time() or execution.status.is_final:
            return execution
        async with self._database.changes.watch(self._executions.change_key(execution_id)) as watch:
            while True:
                execution = await self._get(execution_id)
                remaining = deadline - asyncio.get_running_loop().time()
                if execution.status.is_final or remaining <= 0:
                    return execution
                await watch.wait(remaining)

    def live(self, execution_id: str) -> LiveExecution | None:
        """The output so far, while the program runs in this process."""
        return self._live.get(execution_id)

    @property
    def running_here(self) -> int:
        """Programs that run in this process now."""
        return len(self._live)

    async def stored_output(self, execution_id: str, position: Position) -> tuple[Chunk, ...]:
        """What a program that another process runs has put out after `position`, as far as that is stored."""
        return await self._running.since(execution_id, position)

    async def cancel(self, execution_id: str) -> None:
        """Ask whichever process runs it to end it; does nothing when it has ended. What waits ends at once.

        Raises:
            ExecutionNotFound: no execution has this id.
        """
        await self._get(execution_id)

        await self._cancel_requests.leave(execution_id, actor="bearer of the execution id")
        live = self._live.get(execution_id)
        if live is not None:
            live.stop.set()
            return
        execution = await self._get(execution_id)
        if execution.ahead is not None:
            outcome = never_begun(ExecutionStatus.CANCELLED, "it was cancelled")
            await self._end_record.write_never_begun(execution, outcome, self._queue)

    async def list_of_agent(
        self, agent: str, *, limit: int = 50, cursor: str | None = None, active: bool = False
    ) -> Page:
        """What ran under tokens whose subject is this agent; with `active` only what has not ended.

        Raises:
            InvalidArgument: the limit is out of range or the cursor is not one of ours.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidArgument(f"limit: {limit} is not allowed; 1 to {MAX_PAGE} are")
        before = None if cursor is None else _read_cursor(cursor)
        found = await self._executions.list_newest(agent=agent, active=active, limit=limit, before=before)
        return Page(found, _cursor(found[-1]) if len(found) == limit else None)

    async def output_file(self, execution_id: str, path: str) -> FileContent:
        """Raises ExecutionNotFound, or OutputFileNotFound naming the files that there are."""
        execution = await self._get(execution_id)
        found = _stream(execution, path)
        if found is None and _can_be_stored(path):
            found = await self._executions.file(execution_id, path)
        if found is not None:
            return found
        files = () if execution.outcome is None else execution.outcome.files
        names = ", ".join(file.path for file in files[:20]) or "none"
        raise OutputFileNotFound(f"path: {execution_id} has no file {path[:200]!a}; its files: {names}")

    async def describe(self) -> tuple[SandboxDescription, ExecutorPolicy]:
        """What can be run here, with which packages and within which bounds. Raises SandboxError."""
        return await self._examiner.describe(), self._examiner.policy

    @property
    def additions(self) -> AdditionRules:
        """Which packages an approval may add."""
        return self._examiner.additions

    async def validate(self, action: object, *, agent: str | None = None) -> Validation:
        """What steps 6 and 7 of the gate would say now.

        Raises InvalidAction, or SandboxError when the sandbox cannot say what it offers.
        """
        parsed = await read_value(action, parse_action)
        try:
            whole, missing = await self._files.resolve(parsed), ()
        except Refused as refusal:
            whole, missing = without_references(parsed), (refusal.detail,)
        verdict = await self._examiner.examine(whole, agent=agent)
        found = replace(verdict, not_allowed=(*missing, *verdict.not_allowed))
        return Validation(action_digest(parsed), found)

    async def close(self, *, grace_seconds: float = 10.0) -> None:
        """End every program, wait until the ends are recorded or the grace is over."""
        self._closing = True
        deadline = asyncio.get_running_loop().time() + grace_seconds
        while self._tasks and asyncio.get_running_loop().time() < deadline:
            # Again and again: a call that was being admitted begins to run only now.
            self._live.stop_all()
            await asyncio.wait(self._tasks, timeout=_CLOSING_LOOK_SECONDS)
        late = tuple(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _get(self, execution_id: str) -> Execution:
        execution = await self._executions.get(execution_id) if _EXECUTION_ID.match(execution_id) else None
        if execution is None:
            raise ExecutionNotFound(
                f"execution_id: there is no execution {execution_id[:64]!a}; execute returns the id "
                "(exe_ and 26 characters)"
            )
        if execution.status is not ExecutionStatus.PENDING:
            return execution
        if self._live.get(execution_id) is not None:
            # Whatever its row says yet.
            return replace(execution, status=ExecutionStatus.RUNNING)
        return replace(execution, ahead=await self._queue.ahead_of(execution_id))

    def _own(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_retrieve_exception)
        return task


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    # A refusal whose caller has gone has nobody to be raised to; it is in the audit log.
    if not task.cancelled():
        task.exception()


def _stream(execution: Execution, path: str) -> FileContent | None:
    """The output itself under a path that no file of a program can have."""
    outcome = execution.outcome
    if outcome is None or path not in _STREAMS:
        return None
    name, media_type = _STREAMS[path]
    content: bytes = getattr(outcome, name) or b""
    digest = hashlib.sha256(content).hexdigest()
    return FileContent(StoredFile(path, len(content), digest, media_type), content)


def _can_be_stored(path: str) -> bool:
    """False for what a file's path never is and a database refuses to be asked for."""
    return path.isprintable()


def _cursor(execution: Execution) -> str:
    microseconds = round(execution.created_at.timestamp() * _MICROSECONDS)
    return base64.urlsafe_b64encode(f"{microseconds}:{execution.execution_id}".encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        microseconds, _, execution_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
        if not _EXECUTION_ID.match(execution_id):
            raise ValueError("not an execution id")
        return datetime.fromtimestamp(int(microseconds) / _MICROSECONDS, UTC), execution_id
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidArgument("cursor: not one that list_executions returned as next_cursor") from error
