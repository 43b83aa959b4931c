"""The promises of the database seam, held by both dialects."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from server_kit.database.base import Database
from server_kit.database.opening import open_database
from server_kit.errors import DatabaseUnavailable

metadata = MetaData()
notes = Table(
    "notes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("text", String, unique=True),
    Column("body", String),
)


async def create(connection: AsyncConnection) -> None:
    await connection.run_sync(metadata.create_all)


def add(note: str):
    async def operation(connection: AsyncConnection) -> str:
        await connection.execute(insert(notes), {"text": note})
        return note

    return operation


async def all_notes(connection: AsyncConnection) -> set[str]:
    return set((await connection.execute(select(notes.c.text))).scalars())


@pytest.fixture
async def store(database: Database) -> Database:
    await database.write(create)
    return database


async def test_what_was_written_is_read_by_everybody_who_opens_the_database(
    store: Database, database_url: str
) -> None:
    assert await store.write(add("first")) == "first"
    assert await store.read(all_notes) == {"first"}
    other = await open_database(database_url)
    assert await other.read(all_notes) == {"first"}
    await other.close()


async def test_an_exception_undoes_the_operation_and_reaches_the_caller(store: Database) -> None:
    async def operation(connection: AsyncConnection) -> None:
        await add("lost")(connection)
        raise LookupError("not today")

    with pytest.raises(LookupError, match="not today"):
        await store.write(operation)
    assert await store.read(all_notes) == set()


async def test_a_failing_operation_in_a_group_is_undone_alone(store: Database) -> None:
    await store.write(add("taken"))

    async def twice(connection: AsyncConnection, note: str) -> str:
        await add(f"before {note}")(connection)
        return await add(note)(connection)

    wanted = ("a", "taken", "b", "taken", "c")
    asked = [store.write(lambda connection, n=note: twice(connection, n)) for note in wanted]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [str, IntegrityError, str, IntegrityError, str]
    assert await store.read(all_notes) == {"taken", "a", "b", "c", "before a", "before b", "before c"}


async def test_sixteen_callers_share_commits(store: Database) -> None:
    before = store.statistics.commits

    async def caller(number: int) -> None:
        for turn in range(25):
            await store.write(add(f"{number}/{turn}"))

    await asyncio.gather(*(caller(number) for number in range(16)))
    assert len(await store.read(all_notes)) == 400
    assert store.statistics.commits - before <= 100


async def test_a_cancelled_caller_leaves_the_writer_working_and_its_operation_whole_or_absent(
    store: Database,
) -> None:
    started = asyncio.Event()
    go_on = asyncio.Event()

    async def slow(connection: AsyncConnection) -> None:
        await add("slow 1")(connection)
        started.set()
        await go_on.wait()
        await add("slow 2")(connection)

    running = asyncio.create_task(store.write(slow))
    await started.wait()
    queued = asyncio.create_task(store.write(add("never begun")))
    await asyncio.sleep(0)
    running.cancel()
    queued.cancel()
    go_on.set()
    assert await asyncio.gather(running, queued, return_exceptions=True) != [None, None]
    assert await store.write(add("after")) == "after"
    assert await store.read(all_notes) == {"slow 1", "slow 2", "after"}


async def test_callers_cancelled_at_every_moment_corrupt_nothing(store: Database) -> None:
    async def pair(connection: AsyncConnection, number: int) -> None:
        await add(f"left {number}")(connection)
        await add(f"right {number}")(connection)

    tasks: list[asyncio.Task[None]] = []
    for number in range(60):
        task = asyncio.create_task(store.write(lambda connection, n=number: pair(connection, n)))
        tasks.append(task)
        for _ in range(number % 13):
            await asyncio.sleep(0)
        if number % 2:
            tasks[number // 2].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    found = await store.read(all_notes)
    for number, outcome in enumerate(outcomes):
        assert (f"left {number}" in found) == (f"right {number}" in found)
        if outcome is None:
            assert f"left {number}" in found


async def test_a_read_sees_one_snapshot_and_cannot_write(store: Database) -> None:
    async def reading(connection: AsyncConnection) -> tuple[set[str], set[str]]:
        before = await all_notes(connection)
        await store.write(add("meanwhile"))
        return before, await all_notes(connection)

    assert await store.read(reading) == (set(), set())
    with pytest.raises(DBAPIError):
        await store.read(add("forbidden"))
    assert await store.read(all_notes) == {"meanwhile"}


async def test_an_ignored_failed_statement_is_never_acknowledged_as_lost(store: Database) -> None:
    await store.write(add("taken"))

    async def careless(connection: AsyncConnection) -> None:
        await add("kept?")(connection)
        with contextlib.suppress(IntegrityError):
            await add("taken")(connection)

    try:
        await store.write(careless)
    except RuntimeError:
        assert "kept?" not in await store.read(all_notes)
    else:
        assert "kept?" in await store.read(all_notes)


async def test_a_failed_statement_in_begin_nested_can_be_handled_inside_the_operation(
    store: Database,
) -> None:
    await store.write(add("taken"))

    async def careful(connection: AsyncConnection) -> str:
        try:
            async with connection.begin_nested():
                await add("taken")(connection)
        except IntegrityError:
            await add("instead")(connection)
        return "done"

    assert await asyncio.gather(store.write(add("x")), store.write(careful), store.write(add("y"))) == [
        "x",
        "done",
        "y",
    ]
    assert await store.read(all_notes) == {"taken", "x", "y", "instead"}


async def test_check_then_act_needs_no_lock_of_its_own(store: Database, database_url: str) -> None:
    other = await open_database(database_url)

    async def once(connection: AsyncConnection) -> bool:
        if (await connection.execute(select(func.count()).select_from(notes))).scalar_one() > 0:
            return False
        await connection.execute(insert(notes), {"text": None})
        return True

    won = await asyncio.gather(*((store if n % 2 else other).write(once) for n in range(30)))
    await other.close()
    assert sum(won) == 1


async def test_an_operation_sees_the_context_of_its_caller(store: Database) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

    async def operation(connection: AsyncConnection) -> str:
        return who.get()

    async def caller(name: str) -> str:
        who.set(name)
        return await store.write(operation)

    assert await asyncio.gather(caller("alice"), caller("bob")) == ["alice", "bob"]


async def test_closing_finishes_what_was_asked_for_and_refuses_what_comes_after(database_url: str) -> None:
    database = await open_database(database_url)
    await database.write(create)
    asked = [asyncio.create_task(database.write(add(str(n)))) for n in range(20)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*asked) == [str(n) for n in range(20)]
    with pytest.raises(DatabaseUnavailable, match="closed"):
        await database.write(add("late"))
    with pytest.raises(DatabaseUnavailable, match="closed"):
        await database.read(all_notes)


async def test_an_operation_that_holds_the_writer_too_long_is_undone_and_others_go_on(
    store: Database,
) -> None:
    store._writer._operation_seconds = 0.2  # type: ignore[attr-defined]

    async def hanging(connection: AsyncConnection) -> None:
        await add("hanging")(connection)
        await asyncio.Event().wait()

    outcomes = await asyncio.gather(
        store.write(add("a")), store.write(hanging), store.write(add("b")), return_exceptions=True
    )
    assert outcomes[0] == "a"
    assert outcomes[2] == "b"
    assert isinstance(outcomes[1], DatabaseUnavailable)
    assert await store.read(all_notes) == {"a", "b"}


async def test_a_timeout_of_the_operations_own_is_passed_on_as_it_is(store: Database) -> None:
    async def operation(connection: AsyncConnection) -> None:
        raise TimeoutError("of my own")

    with pytest.raises(TimeoutError, match="of my own"):
        await store.write(operation)


async def test_a_publication_wakes_watchers_in_this_process_and_in_others_but_only_after_the_commit(
    store: Database, database_url: str
) -> None:
    other = await open_database(database_url)
    async with store.changes.watch("note:1", "note:2") as here, other.changes.watch("note:1") as there:
        while await here.wait(0.2) or await there.wait(0.2):
            pass

        async def undone(connection: AsyncConnection) -> None:
            await store.changes.publish(connection, "note:1")
            raise LookupError

        with pytest.raises(LookupError):
            await store.write(undone)
        assert not await here.wait(0.1)
        assert not await there.wait(0.1)

        async def done(connection: AsyncConnection) -> None:
            await add("x")(connection)
            await store.changes.publish(connection, "note:1")

        await store.write(done)
        assert await here.wait(5)
        assert await there.wait(5)
        assert await other.read(all_notes) == {"x"}
    await other.close()


async def test_a_change_between_reading_and_waiting_is_not_missed(store: Database, database_url: str) -> None:
    other = await open_database(database_url)

    async def publish(connection: AsyncConnection) -> None:
        await other.changes.publish(connection, "key")

    for _ in range(20):
        async with store.changes.watch("key") as watch:
            await other.write(publish)
            assert await watch.wait(5)
    await other.close()


async def test_text_of_any_language_and_large_values_survive(store: Database) -> None:
    value = "ключ 鍵 🔑 \u202e" * 100_000
    await store.write(lambda connection: connection.execute(insert(notes), {"body": value}))
    assert await store.read(lambda connection: connection.scalar(select(notes.c.body))) == value


async def test_raw_text_statements_run_too(store: Database) -> None:
    assert await store.read(lambda connection: connection.scalar(text("SELECT 1"))) == 1


async def test_an_error_of_a_statement_does_not_repeat_what_was_to_be_stored(store: Database) -> None:
    await store.write(add("a secret"))
    with pytest.raises(IntegrityError) as caught:
        await store.write(add("a secret"))
    assert "a secret" not in str(caught.value)
