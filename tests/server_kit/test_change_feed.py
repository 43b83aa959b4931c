"""How fast news of a change reaches another process on SQLite, and what waiting costs."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server_kit.database.opening import open_database
from server_kit.database.sqlite import SqliteDatabase
from server_kit.database.sqlite_changes import KEPT_ROWS, PRUNED_EVERY

ROOT = Path(__file__).parents[2]

PUBLISHER = """
import asyncio, sys, time
from server_kit.database.opening import open_database
async def main():
    database = await open_database(sys.argv[1])
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        await database.write(lambda connection: database.changes.publish(connection, "key"))
        print(time.monotonic(), flush=True)
    await database.close()
asyncio.run(main())
"""


async def test_another_process_is_heard_within_150_ms(sqlite_url: str) -> None:
    database = await open_database(sqlite_url)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PUBLISHER,
        sqlite_url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with database.changes.watch("key") as watch:
            assert await asyncio.wait_for(process.stdout.readline(), 30) == b"ready\n"
            delays: list[float] = []
            for _ in range(15):
                while await watch.wait(0.06):
                    pass
                process.stdin.write(b"\n")
                assert await watch.wait(5)
                heard = time.monotonic()
                delays.append(heard - float(await process.stdout.readline()))
        assert statistics.median(delays) < 0.15
    finally:
        process.stdin.close()
        await process.wait()
        await database.close()


async def test_nothing_is_polled_while_nobody_watches(sqlite_url: str) -> None:
    database = await open_database(sqlite_url)
    assert isinstance(database, SqliteDatabase)
    async with database.changes.watch("a"), database.changes.watch("b") as watch:
        while await watch.wait(0.2):
            pass
    assert database.changes.polls >= 3
    polls = database.changes.polls
    await asyncio.sleep(0.2)
    assert database.changes.polls == polls
    await database.close()


async def test_waiting_idle_costs_less_than_one_percent_of_a_core(sqlite_url: str) -> None:
    database = await open_database(sqlite_url)
    async with database.changes.watch("key") as watch:
        assert not await watch.wait(2.5)
        before = time.process_time()
        await watch.wait(3)
        share = (time.process_time() - before) / 3
    await database.close()
    assert share < 0.01


async def test_a_watch_is_not_woken_by_other_keys_or_by_writes_without_news(sqlite_url: str) -> None:
    database = await open_database(sqlite_url)
    other = await open_database(sqlite_url)
    async with database.changes.watch("mine") as watch:
        while await watch.wait(0.2):
            pass
        for publisher in (database, other):
            await publisher.write(lambda connection, p=publisher: p.changes.publish(connection, "yours"))
            await publisher.write(
                lambda connection: connection.execute(text("CREATE TABLE IF NOT EXISTS t (x)"))
            )
        assert not await watch.wait(0.2)
    await database.close()
    await other.close()


async def test_old_news_is_pruned(sqlite_url: str) -> None:
    database = await open_database(sqlite_url)

    async def many(connection: AsyncConnection) -> None:
        for _ in range(KEPT_ROWS + 2 * PRUNED_EVERY):
            await database.changes.publish(connection, "key")

    await database.write(many)
    kept = await database.read(lambda connection: connection.scalar(text("SELECT count(*) FROM change_feed")))
    assert KEPT_ROWS <= kept <= KEPT_ROWS + PRUNED_EVERY
    await database.close()


async def test_a_watcher_that_missed_pruned_news_is_woken(sqlite_url: str) -> None:
    database = await open_database(sqlite_url)
    other = await open_database(sqlite_url)

    async def gap(connection: AsyncConnection) -> None:
        for _ in range(3):
            await other.changes.publish(connection, "yours")
        await connection.execute(text("DELETE FROM change_feed WHERE sequence < 3"))

    async with database.changes.watch("mine") as watch:
        while await watch.wait(0.2):
            pass
        await other.write(gap)
        assert await watch.wait(5)
    await database.close()
    await other.close()


async def test_watching_survives_a_file_that_is_taken_away_and_put_back(
    sqlite_url: str, tmp_path: Path
) -> None:
    database = await open_database(sqlite_url)
    async with database.changes.watch("key") as watch:
        while await watch.wait(0.2):
            pass
        path = tmp_path / "test.db"
        path.rename(tmp_path / "away.db")
        for suffix in ("-wal", "-shm"):
            (tmp_path / f"test.db{suffix}").unlink(missing_ok=True)
        other = await open_database(sqlite_url)
        assert await watch.wait(5)
        assert not await watch.wait(0.7)
        await other.write(lambda connection: other.changes.publish(connection, "key"))
        assert await watch.wait(5)
        await other.close()
    await database.close()


@pytest.mark.parametrize("key", ["", "x" * 513])
async def test_a_key_that_not_every_database_carries_is_refused(sqlite_url: str, key: str) -> None:
    database = await open_database(sqlite_url)
    with pytest.raises(ValueError, match="key"):
        async with database.changes.watch(key):
            pass
    with pytest.raises(ValueError, match="key"):
        await database.write(lambda connection: database.changes.publish(connection, key))
    await database.close()


async def test_who_is_unhurried_lets_the_process_sleep_until_somebody_in_a_hurry_comes(
    sqlite_url: str,
) -> None:
    database = await open_database(sqlite_url)
    other = await open_database(sqlite_url)
    assert isinstance(database, SqliteDatabase)
    try:
        async with database.changes.watch("key", unhurried=True) as patient:
            await patient.wait(0.6)
            idle = database.changes.polls
            assert idle <= 3
            async with database.changes.watch("key"):
                await patient.wait(0.3)
                assert database.changes.polls - idle >= 4
            await other.write(lambda connection: other.changes.publish(connection, "key"))
            assert await patient.wait(2)
    finally:
        await other.close()
        await database.close()
