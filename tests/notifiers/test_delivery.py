"""Deliveries: retries, dead letters, crashes between sending and recording, one dispatcher at a time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from hitl_mcp.notifiers.card_store import CardState
from hitl_mcp.notifiers.dispatcher import Dispatcher
from hitl_mcp.notifiers.lease import Lease
from hitl_mcp.notifiers.outbox import RetryPolicy, SqlOutbox
from server_kit.clock import SystemClock
from server_kit.database.base import Database
from server_kit.database.opening import open_database
from tests.approvals.world import AskSeveral, create_schema, verdict
from tests.emulators.serving import Fault
from tests.notifiers.channels import Chat, Slack, Telegram, open_channel
from tests.notifiers.desk import QUICK_RETRIES, Desk
from tests.notifiers.processes import LEASE_HOLDER

SENDS = {"slack": "chat.postMessage", "telegram": "sendMessage"}


@pytest_asyncio.fixture(params=["slack", "telegram"])
async def chat(request: pytest.FixtureRequest) -> AsyncIterator[Chat]:
    async with open_channel(request.param) as channel:
        yield cast("Chat", channel)


@pytest_asyncio.fixture
async def schema(database: Database) -> Database:
    await create_schema(database)
    return database


async def until_dead(outbox: SqlOutbox) -> None:
    async with asyncio.timeout(10):
        while not await outbox.dead_letters():  # noqa: ASYNC110 - the table is all there is to watch
            await asyncio.sleep(0.02)


async def test_a_card_goes_out_on_both_databases(schema: Database, tmp_path: Path) -> None:
    async with open_channel("telegram") as channel:
        desk = Desk(schema, tmp_path, [channel.notifier])
        async with desk.dispatching():
            request_id = (await desk.ask()).request.request_id
            await desk.card(request_id, "telegram", CardState.OPEN)
            assert len(channel.shown(request_id)) == 1


async def test_news_owed_from_before_a_start_goes_out_after_it(
    sqlite: Database, tmp_path: Path, chat: Chat
) -> None:
    desk = Desk(sqlite, tmp_path, [chat.notifier])
    request_id = (await desk.ask()).request.request_id
    async with desk.dispatching():
        await chat.wait_for_card(request_id)


async def test_a_request_that_ended_before_its_card_was_sent_sends_none(
    sqlite: Database, tmp_path: Path, chat: Chat
) -> None:
    desk = Desk(sqlite, tmp_path, [chat.notifier])
    first = (await desk.ask()).request.request_id
    await desk.service.cancel(first, agent="agent-1", person=None, reason=None)
    async with desk.dispatching():
        second = (await desk.ask("print(2)")).request.request_id
        await chat.wait_for_card(second)
        assert chat.shown(first) == []


async def test_a_failing_service_is_tried_again_until_the_card_is_there(
    sqlite: Database, tmp_path: Path, chat: Chat
) -> None:
    for _ in range(3):
        chat.break_next("down")
    desk = Desk(sqlite, tmp_path, [chat.notifier])
    async with desk.dispatching():
        request_id = (await desk.ask()).request.request_id
        await desk.card(request_id, chat.name, CardState.OPEN)
    assert len(chat.shown(request_id)) == 1


async def test_after_the_last_try_it_is_a_dead_letter_shown_and_audited(
    sqlite: Database, tmp_path: Path, chat: Chat
) -> None:
    for _ in range(QUICK_RETRIES.max_attempts + 2):
        chat.break_next("unauthorized")
    desk = Desk(sqlite, tmp_path, [chat.notifier])
    async with desk.dispatching():
        request_id = (await desk.ask()).request.request_id
        await until_dead(desk.outbox)
    (letter,) = await desk.dispatcher.undelivered()
    assert (letter.request_id, letter.channel) == (request_id, chat.name)
    assert letter.attempts == QUICK_RETRIES.max_attempts
    assert "Check HITL_" in letter.error
    assert "notification.undelivered" in await desk.events_about(request_id)
    assert not any(secret in letter.error for secret in chat.secrets)


async def test_a_card_that_the_service_refuses_is_not_sent_again(
    sqlite: Database, tmp_path: Path, chat: Chat
) -> None:
    chat.break_next("refused")
    desk = Desk(sqlite, tmp_path, [chat.notifier])
    async with desk.dispatching():
        await desk.ask()
        await until_dead(desk.outbox)
    (letter,) = await desk.outbox.dead_letters()
    assert letter.attempts == 1


async def test_a_channel_that_is_down_does_not_delay_another(
    sqlite: Database, tmp_path: Path, chat: Chat
) -> None:
    async with open_channel("console") as console:
        for _ in range(20):
            chat.break_next("down")
        desk = Desk(sqlite, tmp_path, [chat.notifier, console.notifier])
        async with desk.dispatching():
            request_id = (await desk.ask()).request.request_id
            await desk.card(request_id, "console", CardState.OPEN)


async def test_a_channel_asked_to_slow_down_waits_as_long_and_loses_no_attempt(
    sqlite: Database, tmp_path: Path, chat: Slack | Telegram
) -> None:
    chat.service.fail(SENDS[chat.name], *[Fault(429, retry_after=1)] * 2, Fault(503))
    # One more attempt counted than the real failure, and the card would be given up.
    desk = Desk(sqlite, tmp_path, [chat.notifier], retries=replace(QUICK_RETRIES, max_attempts=2))
    started = asyncio.get_running_loop().time()
    async with desk.dispatching():
        request_id = (await desk.ask()).request.request_id
        await desk.card(request_id, chat.name, CardState.OPEN)
    assert asyncio.get_running_loop().time() - started >= 2
    assert await desk.outbox.dead_letters() == ()


async def test_slack_is_not_posted_twice_after_a_crash_between_sending_and_recording(
    sqlite: Database, tmp_path: Path
) -> None:
    async with open_channel("slack") as channel:
        channel.break_next("lost")
        desk = Desk(sqlite, tmp_path, [channel.notifier])
        async with desk.dispatching():
            request_id = (await desk.ask()).request.request_id
            await desk.card(request_id, "slack", CardState.OPEN)
            assert len(channel.shown(request_id)) == 1


async def test_slack_without_the_history_scope_posts_again_rather_than_not_at_all(
    sqlite: Database, tmp_path: Path
) -> None:
    async with open_channel("slack") as channel:
        service = cast("Slack", channel).service
        service.scopes.discard("channels:history")
        channel.break_next("lost")
        desk = Desk(sqlite, tmp_path, [channel.notifier])
        async with desk.dispatching():
            request_id = (await desk.ask()).request.request_id
            await desk.card(request_id, "slack", CardState.OPEN)
            assert len(channel.shown(request_id)) == 2


async def test_both_telegram_cards_after_a_crash_work_and_a_tap_takes_the_buttons_away(
    sqlite: Database, tmp_path: Path
) -> None:
    async with open_channel("telegram") as channel:
        service = cast("Telegram", channel).service
        channel.break_next("lost")
        desk = Desk(sqlite, tmp_path, [channel.notifier])
        await desk.people.add("anna", None)
        await desk.people.link("telegram", "1", "anna")
        async with desk.dispatching():
            request_id = (await desk.ask()).request.request_id
            await desk.card(request_id, "telegram", CardState.OPEN)
            orphan, recorded = service.cards(request_id)
            assert await service.answer(await service.tap(orphan, "Approve", 1)) == "Approved."
            await desk.card(request_id, "telegram", CardState.CLOSED)
            await service.until(lambda: orphan.buttons == [])
            assert recorded.buttons == []


async def test_a_card_deleted_by_somebody_is_sent_again_while_an_answer_is_needed(
    sqlite: Database, tmp_path: Path
) -> None:
    async with open_channel("telegram") as channel:
        service = cast("Telegram", channel).service
        desk = Desk(sqlite, tmp_path, [channel.notifier], policy=AskSeveral(required=2))
        for name in ("anna", "ben"):
            await desk.people.add(name, None)
        async with desk.dispatching():
            record = await desk.ask()
            request_id = record.request.request_id
            await desk.card(request_id, "telegram", CardState.OPEN)
            service.messages.clear()
            await desk.service.decide(verdict(record, "anna"))
            await service.card(request_id)
            await desk.service.decide(verdict(record, "ben"))
            await desk.card(request_id, "telegram", CardState.CLOSED)


async def test_a_defect_in_a_channel_costs_one_delivery_and_not_the_channel(
    sqlite: Database, tmp_path: Path, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = chat.notifier.send
    broken: list[str] = []

    async def defective(card):  # type: ignore[no-untyped-def]
        if not broken:
            broken.append(card.request_id)
        if card.request_id in broken:
            raise KeyError("the secret program")
        return await send(card)

    monkeypatch.setattr(chat.notifier, "send", defective)
    desk = Desk(sqlite, tmp_path, [chat.notifier])
    async with desk.dispatching():
        await desk.ask("print('first')")
        await until_dead(desk.outbox)
        second = (await desk.ask("print('second')")).request.request_id
        await desk.card(second, chat.name, CardState.OPEN)
    assert [letter.error for letter in await desk.outbox.dead_letters()] == ["unexpected KeyError"]


# One dispatcher at a time.


async def test_only_one_of_many_dispatchers_leads_and_another_follows_when_it_leaves(
    schema: Database, tmp_path: Path
) -> None:
    desks = [Desk(schema, tmp_path, [], lease_term=timedelta(seconds=1)) for _ in range(4)]
    running = [asyncio.create_task(desk.dispatcher.run()) for desk in desks]
    seen: list[Dispatcher] = []
    try:
        for _ in desks:
            leader = await first_leading([desk.dispatcher for desk in desks if desk.dispatcher not in seen])
            assert [desk.dispatcher for desk in desks if desk.dispatcher.leading.is_set()] == [leader]
            seen.append(leader)
            index = next(index for index, desk in enumerate(desks) if desk.dispatcher is leader)
            running[index].cancel()
            await asyncio.gather(running[index], return_exceptions=True)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert len(seen) == len(desks)


async def first_leading(dispatchers: list[Dispatcher]) -> Dispatcher:
    waits = {asyncio.create_task(each.leading.wait()): each for each in dispatchers}
    try:
        done, _ = await asyncio.wait(waits, timeout=8, return_when=asyncio.FIRST_COMPLETED)
        return waits[done.pop()]
    finally:
        for wait in waits:
            wait.cancel()


async def test_of_simultaneous_claims_on_a_lease_one_succeeds(schema: Database) -> None:
    clock = SystemClock()
    leases = [Lease(database=schema, clock=clock) for _ in range(12)]
    results = await asyncio.gather(*(lease.acquire() for lease in leases))
    assert results.count(True) == 1
    winner = leases[results.index(True)]
    assert await winner.acquire()
    assert not await leases[results.index(False)].acquire()
    await winner.release()
    assert await leases[results.index(False)].acquire()


async def test_the_lease_of_a_killed_process_is_taken_over_within_seconds(
    database_url: str, tmp_path: Path
) -> None:
    database = await open_database(database_url)
    await create_schema(database)
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LEASE_HOLDER, database_url, stdout=asyncio.subprocess.PIPE
    )
    desk = Desk(database, tmp_path, [], lease_term=timedelta(seconds=4))
    try:
        assert holder.stdout is not None
        assert await asyncio.wait_for(holder.stdout.readline(), 20) == b"leading\n"
        running = asyncio.create_task(desk.dispatcher.run())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(desk.dispatcher.leading.wait(), 4.5)
        assert not desk.dispatcher.leading.is_set()
        holder.send_signal(signal.SIGKILL)
        started = asyncio.get_running_loop().time()
        await asyncio.wait_for(desk.dispatcher.leading.wait(), 10)
        assert asyncio.get_running_loop().time() - started < 6
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    finally:
        if holder.returncode is None:
            holder.kill()
        await holder.wait()
        await database.close()


async def test_the_dispatcher_works_deadlines_without_any_channel(sqlite: Database, tmp_path: Path) -> None:
    desk = Desk(sqlite, tmp_path, [])
    async with desk.dispatching():
        request_id = (await desk.ask(timeout=10)).request.request_id
        assert await desk.events_about(request_id) == ["request.created"]
        async with sqlite.changes.watch(f"request:{request_id}") as watch, asyncio.timeout(5):
            desk.clock.advance(11)
            while "request.timed_out" not in await desk.events_about(request_id):
                await watch.wait(1)


def test_pauses_between_tries_grow_to_a_bound_and_are_spread() -> None:
    policy = RetryPolicy()
    pauses = [[policy.pause(attempts) for _ in range(20)] for attempts in range(1, 200)]
    assert all(pause <= policy.longest_pause for tries in pauses for pause in tries)
    assert max(pauses[0]) <= policy.first_pause
    assert min(pauses[-1]) >= policy.longest_pause / 2
    assert len(set(pauses[5])) > 10
