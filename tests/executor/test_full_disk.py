"""A database that is locked or has no room: refusals with the token unspent, and service once it is back."""

from __future__ import annotations

import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from executor_mcp.errors import RefusalReason, Refused
from executor_mcp.models import ExecutionStatus
from server_kit.database.opening import open_database
from tests.executor.support import bench, create_tables, eventually, outcome


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """Files of this process cannot grow past `size` bytes: SQLite sees what it sees on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


async def test_a_full_disk_refuses_and_leaves_the_token_unspent(sqlite_url: str, tmp_path: Path) -> None:
    database = await open_database(sqlite_url, operation_seconds=2)
    await create_tables(database)
    made = bench(database, tmp_path)
    token = made.issuer.token()
    log = tmp_path / "test.db-wal"
    size = log.stat().st_size
    assert size > 0
    try:
        with no_room_beyond(size), pytest.raises(Refused) as caught:
            await made.executor.service.execute(token, None)
        assert caught.value.reason is RefusalReason.STORAGE_UNAVAILABLE
        assert made.sandbox.started == []

        execution_id = await made.executor.service.execute(token, None)
        execution = await made.executor.service.get(execution_id, wait_seconds=10)
        assert execution.status is ExecutionStatus.COMPLETED
    finally:
        await made.executor.service.close()
        await database.close()


async def test_a_program_that_ends_while_the_disk_is_full_is_recorded_once_there_is_room(
    sqlite_url: str, tmp_path: Path
) -> None:
    database = await open_database(sqlite_url, operation_seconds=2)
    await create_tables(database)
    made = bench(database, tmp_path)
    made.sandbox.hold = True
    try:
        execution_id = await made.executor.service.execute(made.issuer.token(), None)
        await eventually(lambda: len(made.sandbox.runs) == 1)
        with no_room_beyond((tmp_path / "test.db-wal").stat().st_size):
            made.sandbox.runs[0].end(outcome())
            waiting = await made.executor.service.get(execution_id, wait_seconds=0.5)
            assert not waiting.status.is_final
        execution = await made.executor.service.get(execution_id, wait_seconds=30)
        assert execution.status is ExecutionStatus.COMPLETED
        assert execution.receipt is not None
        assert made.sandbox.started == [execution_id]
    finally:
        await made.executor.service.close()
        await database.close()


async def test_a_locked_database_refuses_and_leaves_the_token_unspent(
    sqlite_url: str, tmp_path: Path
) -> None:
    database = await open_database(sqlite_url, patience_seconds=0.3, operation_seconds=1)
    await create_tables(database)
    made = bench(database, tmp_path)
    token = made.issuer.token()
    holder = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(Refused) as caught:
            await made.executor.service.execute(token, None)
        assert caught.value.reason is RefusalReason.STORAGE_UNAVAILABLE
        assert made.sandbox.started == []
        holder.execute("ROLLBACK")

        execution_id = await made.executor.service.execute(token, None)
        execution = await made.executor.service.get(execution_id, wait_seconds=10)
        assert execution.status is ExecutionStatus.COMPLETED
    finally:
        holder.close()
        await made.executor.service.close()
        await database.close()
