"""A database that is locked, full, damaged, gone or restarted: errors, nothing lost, and service returns by
itself.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from server_kit.database.opening import open_database
from server_kit.database.postgresql_errors import Meaning, meaning
from server_kit.database.postgresql_session import DATABASE_ERRORS
from server_kit.errors import ConfigurationError, DatabaseCorrupt, DatabaseUnavailable, HomeNotWritable
from tests.conftest import PostgresqlCluster

metadata = MetaData()
notes = Table("notes", metadata, Column("id", Integer, primary_key=True), Column("text", String))


async def create(connection: AsyncConnection) -> None:
    await connection.run_sync(metadata.create_all)


def add(note: str):
    async def operation(connection: AsyncConnection) -> str:
        await connection.execute(insert(notes), {"text": note})
        return note

    return operation


async def all_notes(connection: AsyncConnection) -> list[str]:
    return list(await connection.scalars(select(notes.c.text).order_by(notes.c.id)))


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://u:hunter2@h/d",
        "sqlite:///x.db",
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///:memory:",
        "postgresql://u:hunter2@h/d",
    ],
)
async def test_a_url_that_is_not_allowed_says_what_is_and_never_the_password(url: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"sqlite\+aiosqlite:///PATH or postgresql\+asyncpg://"
    ) as caught:
        await open_database(url)
    assert "hunter2" not in str(caught.value)


async def test_a_missing_directory_or_one_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(HomeNotWritable, match="absent"):
        await open_database(f"sqlite+aiosqlite:///{tmp_path}/absent/x.db")
    with pytest.raises(HomeNotWritable, match=r"/proc/x\.db"):
        await open_database("sqlite+aiosqlite:////proc/x.db")


async def test_a_new_file_belongs_to_its_user_alone(tmp_path: Path) -> None:
    database = await open_database(f"sqlite+aiosqlite:///{tmp_path}/x.db")
    await database.write(create)
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in os.listdir(tmp_path)}
    await database.close()
    assert modes == {"x.db": 0o600, "x.db-wal": 0o600, "x.db-shm": 0o600}


@pytest.mark.parametrize("damage", ["not a database", "page in the middle"])
async def test_a_damaged_file_is_refused_at_the_start(sqlite_url: str, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "test.db"
    if damage == "not a database":
        path.write_bytes(b"certainly not SQLite" * 100)
    else:
        database = await open_database(sqlite_url)
        await database.write(create)
        await database.write(add("x" * 100_000))
        await database.close()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 4096)
    with pytest.raises(DatabaseCorrupt, match=r"test\.db") as caught:
        await open_database(sqlite_url)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


async def test_while_another_process_holds_the_write_lock_reads_go_on_and_writes_wait_or_fail(
    sqlite_url: str, tmp_path: Path
) -> None:
    database = await open_database(sqlite_url, patience_seconds=0.3)
    await database.write(create)
    with sqlite3.connect(tmp_path / "test.db", isolation_level=None, check_same_thread=False) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await database.read(all_notes) == []
        outcomes = await asyncio.gather(
            *(database.write(add("lost")) for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes)
        assert "holds it locked" in str(outcomes[0])
        waiting = asyncio.create_task(database.write(add("in time")))
        asyncio.get_running_loop().call_later(0.1, other.execute, "COMMIT")
        assert await waiting == "in time"
    other.close()
    assert await database.read(all_notes) == ["in time"]
    await database.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.fail("run as root: a full disk is tried on a tmpfs of its own, which only root may mount")
    directory = tmp_path / "small"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


async def test_a_full_disk_refuses_writes_loses_none_and_heals_when_there_is_room(small_disk: Path) -> None:
    database = await open_database(f"sqlite+aiosqlite:///{small_disk}/x.db")
    await database.write(create)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 700_000)
    acknowledged: list[str] = []
    refused: list[BaseException] = []
    for turn in range(40):
        names = [f"{turn}/{n} " + "x" * 20_000 for n in range(4)]
        outcomes = await asyncio.gather(
            *(database.write(add(name)) for name in names), return_exceptions=True
        )
        acknowledged += [outcome for outcome in outcomes if isinstance(outcome, str)]
        refused += [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert refused
    assert all(isinstance(error, DatabaseUnavailable) and "disk is full" in str(error) for error in refused)
    assert sorted(await database.read(all_notes)) == sorted(acknowledged)
    ballast.unlink()
    acknowledged.append(await database.write(add("room again")))
    await database.close()
    database = await open_database(f"sqlite+aiosqlite:///{small_disk}/x.db")
    assert sorted(await database.read(all_notes)) == sorted(acknowledged)
    await database.close()


async def test_a_file_taken_away_or_damaged_under_a_running_server_is_an_error_until_it_is_back(
    sqlite_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "test.db"
    database = await open_database(sqlite_url)
    await database.write(create)
    await database.write(add("kept"))
    with sqlite3.connect(path) as connection, sqlite3.connect(tmp_path / "copy.db") as copy:
        connection.backup(copy)
    connection.close()
    copy.close()
    for name in ("test.db", "test.db-wal", "test.db-shm"):
        (tmp_path / name).rename(tmp_path / f"{name}.away")

    for operation in (database.write(add("lost")), database.read(all_notes)):
        with pytest.raises(DatabaseUnavailable, match=r"test\.db"):
            await operation
    path.write_bytes(b"garbage" * 4096)
    for operation in (database.write(add("lost")), database.read(all_notes)):
        with pytest.raises(DatabaseCorrupt):
            await operation
    path.unlink()
    shutil.move(tmp_path / "copy.db", path)
    assert await database.write(add("back")) == "back"
    assert await database.read(all_notes) == ["kept", "back"]
    await database.close()


async def test_what_is_written_goes_to_the_file_that_is_under_the_path_now(
    sqlite_url: str, tmp_path: Path
) -> None:
    database = await open_database(sqlite_url)
    await database.write(create)
    await database.write(add("kept"))
    with sqlite3.connect(tmp_path / "test.db") as connection, sqlite3.connect(tmp_path / "copy.db") as copy:
        connection.backup(copy)
    connection.close()
    copy.close()
    for name in ("test.db-wal", "test.db-shm"):
        os.unlink(tmp_path / name)
    os.replace(tmp_path / "copy.db", tmp_path / "test.db")
    await database.write(add("new"))
    assert await database.read(all_notes) == ["kept", "new"]
    with sqlite3.connect(tmp_path / "test.db") as connection:
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (2,)
    connection.close()
    await database.close()


async def test_postgresql_that_cannot_be_reached_or_refuses_us_is_one_clear_line(
    postgresql_cluster: PostgresqlCluster,
) -> None:
    with pytest.raises(DatabaseUnavailable, match="no connection") as caught:
        await open_database("postgresql+asyncpg://u:hunter2@127.0.0.1:1/d")
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(DatabaseUnavailable, match="does not exist"):
        await open_database(postgresql_cluster.url("absent"))


@pytest.mark.timeout(120)
async def test_postgresql_restarted_in_the_middle_loses_nothing_acknowledged_and_service_returns(
    own_postgresql_cluster: PostgresqlCluster,
) -> None:
    cluster = own_postgresql_cluster
    url = cluster.url(cluster.create_database())
    database = await open_database(url)
    await database.write(create)
    acknowledged: list[str] = []
    stop = asyncio.Event()
    failed = asyncio.Event()
    progress = asyncio.Condition()

    async def caller(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            try:
                acknowledged.append(await database.write(add(f"{number}/{turn}")))
                await database.read(all_notes)
            except DatabaseUnavailable:
                failed.set()
                await asyncio.sleep(0.02)
            async with progress:
                progress.notify_all()

    async def fifty_more() -> None:
        wanted = len(acknowledged) + 50
        async with asyncio.timeout(30), progress:
            await progress.wait_for(lambda: len(acknowledged) >= wanted)

    async with database.changes.watch("news") as watch:
        callers = [asyncio.create_task(caller(number)) for number in range(8)]
        for _ in range(2):
            await fifty_more()
            failed.clear()
            await asyncio.to_thread(cluster.stop)
            await asyncio.wait_for(failed.wait(), 30)
            await asyncio.to_thread(cluster.start)
        await fifty_more()
        stop.set()
        await asyncio.gather(*callers)

        while await watch.wait(0.5):
            pass
        await database.write(lambda connection: database.changes.publish(connection, "news"))
        assert await watch.wait(5)
    found = await database.read(all_notes)
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    await database.close()


async def plain(url: str) -> Any:
    return await asyncpg.connect(url.replace("+asyncpg", ""))


async def test_a_writer_that_hangs_in_another_process_holds_nobody_for_ever(postgresql_url: str) -> None:
    database = await open_database(postgresql_url, patience_seconds=0.3)
    await database.write(create)
    other = await plain(postgresql_url)
    await other.execute(
        "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('server_kit write ' || current_schema(), 0))"
    )
    with pytest.raises(DatabaseUnavailable, match="lock"):
        await database.write(add("lost"))
    assert await database.read(all_notes) == []
    await other.execute("COMMIT")
    await other.close()
    assert await database.write(add("after")) == "after"
    await database.close()


async def test_an_operation_chosen_as_the_victim_of_a_deadlock_runs_again(postgresql_url: str) -> None:
    database = await open_database(postgresql_url)
    await database.write(create)
    await database.write(add("a"))
    await database.write(add("b"))
    other = await plain(postgresql_url)
    await other.execute("SET deadlock_timeout = '20s'; BEGIN; SELECT * FROM notes WHERE id = 2 FOR UPDATE")
    runs = 0
    pending: list[asyncio.Task[Any]] = []

    async def operation(connection: AsyncConnection) -> None:
        nonlocal runs
        runs += 1
        await connection.execute(text("SET LOCAL deadlock_timeout = '200ms'"))
        await connection.execute(text("UPDATE notes SET text = 'ours' WHERE id = 1"))
        if runs == 1:
            pending.append(
                asyncio.create_task(other.execute("UPDATE notes SET text = 'theirs' WHERE id = 1; COMMIT"))
            )
        await connection.execute(text("UPDATE notes SET text = 'ours' WHERE id = 2"))

    await database.write(operation)
    await pending[0]
    await other.close()
    assert runs == 2
    assert await database.read(all_notes) == ["ours", "ours"]
    await database.close()


def test_the_drivers_confusion_over_a_farewell_is_a_lost_connection() -> None:
    error = asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")
    assert isinstance(error, DATABASE_ERRORS)
    assert meaning(error) is Meaning.CONNECTION_LOST


async def test_a_reader_whose_connection_is_cut_reads_again(postgresql_url: str) -> None:
    database = await open_database(postgresql_url)
    await database.write(create)
    await database.read(all_notes)
    other = await plain(postgresql_url)
    await other.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hitl'"
    )
    await other.close()
    assert await asyncio.gather(*(database.read(all_notes) for _ in range(5))) == [[]] * 5
    assert await database.write(add("x")) == "x"
    await database.close()
