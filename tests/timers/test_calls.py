"""What people get to see of deadlines, in the channels themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.terms import QuietHours, Terms
from hitl_mcp.notifiers.card_store import CardState
from server_kit.database.base import Database
from server_kit.database.opening import open_database
from tests.approvals.world import create_schema, verdict
from tests.notifiers.channels import Channel, Slack, Telegram, open_channel
from tests.notifiers.desk import Desk
from tests.timers.asking import OnTerms, escalating


@pytest_asyncio.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[Database]:
    opened = await open_database(sqlite_url)
    await create_schema(opened)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(params=["console", "slack", "telegram"])
async def channel(request: pytest.FixtureRequest) -> AsyncIterator[Channel]:
    async with open_channel(request.param) as opened:
        yield opened


async def until(look: Callable[[], object], seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while not look():  # noqa: ASYNC110 - the service is all there is to watch
            await asyncio.sleep(0.02)


def quiet_now(*, holds_new: bool = False) -> QuietHours:
    """Quiet hours from an hour ago until an hour from now, in UTC."""
    now = datetime.now(UTC)
    start, end = ((now + timedelta(hours=hours)).time() for hours in (-1, 1))
    return QuietHours(_minute(start), _minute(end), "UTC", holds_new)


def _minute(at: time) -> time:
    return at.replace(second=0, microsecond=0)


async def test_an_escalation_names_who_is_asked_on_the_card_and_calls_people_to_it(
    sqlite: Database, tmp_path: Path, channel: Channel
) -> None:
    desk = Desk(sqlite, tmp_path, [channel.notifier], policy=OnTerms(escalating(600)))
    await desk.people.add("anna", None)
    async with desk.dispatching():
        record = await desk.ask(timeout=3600)
        request_id = record.request.request_id
        await desk.card(request_id, channel.name, CardState.OPEN)
        assert "level-1" not in channel.shown(request_id)[0]
        desk.clock.advance(600)
        await until(lambda: channel.calls(request_id))
        assert "level-1, boss-1" in channel.calls(request_id)[0]
        assert "level-1, boss-1" in channel.shown(request_id)[0]
        await desk.service.decide(verdict(await desk.service.get(request_id), "anna"))
        await desk.card(request_id, channel.name, CardState.CLOSED)
    assert len(channel.calls(request_id)) == 1
    assert channel.buttons(request_id) == []


async def test_reminders_call_once_each_and_end_with_the_request(
    sqlite: Database, tmp_path: Path, channel: Channel
) -> None:
    desk = Desk(sqlite, tmp_path, [channel.notifier], policy=OnTerms(Terms(reminders=(60, 120, 900))))
    await desk.people.add("anna", None)
    async with desk.dispatching():
        record = await desk.ask(timeout=3600)
        request_id = record.request.request_id
        await desk.card(request_id, channel.name, CardState.OPEN)
        for count in (1, 2):
            desk.clock.advance(60)
            await until(lambda count=count: len(channel.calls(request_id)) == count)
        await desk.service.decide(verdict(record, "anna"))
        await desk.card(request_id, channel.name, CardState.CLOSED)
        desk.clock.advance(900)
        await asyncio.sleep(1.3)
    assert len(channel.calls(request_id)) == 2


async def test_a_call_that_fails_is_tried_again_and_not_lost(sqlite: Database, tmp_path: Path) -> None:
    for name in ("slack", "telegram"):
        async with open_channel(name) as channel:
            desk = Desk(sqlite, tmp_path, [channel.notifier], policy=OnTerms(Terms(reminders=(60,))))
            async with desk.dispatching():
                request_id = (await desk.ask(f"print('{name}')", timeout=3600)).request.request_id
                await desk.card(request_id, name, CardState.OPEN)
                channel.break_next("lost" if name == "slack" else "down")
                desk.clock.advance(60)
                await until(lambda: len(cast("Slack | Telegram", channel).service.calls) > 2)
                await until(lambda request_id=request_id: channel.calls(request_id))
                await asyncio.sleep(0.5)
            # Slack can tell that the first call arrived, though its answer was lost.
            assert len(channel.calls(request_id)) == 1


async def test_a_card_that_somebody_deleted_comes_again_when_people_are_called(
    sqlite: Database, tmp_path: Path
) -> None:
    async with open_channel("telegram") as channel:
        desk = Desk(sqlite, tmp_path, [channel.notifier], policy=OnTerms(Terms(reminders=(60,))))
        async with desk.dispatching():
            request_id = (await desk.ask(timeout=3600)).request.request_id
            await desk.card(request_id, "telegram", CardState.OPEN)
            channel.delete_cards(request_id)
            desk.clock.advance(60)
            await until(lambda: channel.shown(request_id))
            assert "Approve" in channel.buttons(request_id)


async def test_a_request_of_low_risk_at_night_is_shown_in_the_morning_and_not_before(
    sqlite: Database, tmp_path: Path, channel: Channel
) -> None:
    policy = OnTerms(Terms(quiet_hours=quiet_now(holds_new=True)))
    desk = Desk(sqlite, tmp_path, [channel.notifier], policy=policy)
    async with desk.dispatching():
        held = (await desk.ask("print('held')", timeout=6 * 3600)).request.request_id
        policy.terms = replace(policy.terms, quiet_hours=quiet_now())
        shown = await desk.ask("print('shown')", risk=RiskLevel.LOW, timeout=6 * 3600)
        await desk.card(shown.request.request_id, channel.name, CardState.OPEN)
        assert channel.shown(held) == []
        desk.clock.advance(3600)
        await desk.card(held, channel.name, CardState.OPEN)
        assert len(channel.shown(held)) == 1
    assert channel.calls(held) == []


@pytest.mark.parametrize("decided", [True, False])
async def test_the_next_channel_is_told_only_when_nobody_decided_meanwhile(
    sqlite: Database, tmp_path: Path, decided: bool
) -> None:
    async with open_channel("slack") as first, open_channel("telegram") as second:
        desk = Desk(
            sqlite,
            tmp_path,
            [first.notifier, second.notifier],
            policy=OnTerms(Terms()),
            delays={"telegram": timedelta(seconds=300)},
        )
        await desk.people.add("anna", None)
        async with desk.dispatching():
            record = await desk.ask(timeout=3600)
            request_id = record.request.request_id
            await desk.card(request_id, "slack", CardState.OPEN)
            assert second.shown(request_id) == []
            if decided:
                await desk.service.decide(verdict(record, "anna"))
                await desk.card(request_id, "slack", CardState.CLOSED)
            desk.clock.advance(300)
            another = (await desk.ask("print('wakes the worker')", timeout=3600)).request.request_id
            await desk.card(another, "slack", CardState.OPEN)
            if decided:
                await asyncio.sleep(0.5)
                assert second.shown(request_id) == []
            else:
                await desk.card(request_id, "telegram", CardState.OPEN)


async def test_an_escalation_ends_the_waiting_of_a_channel_for_its_turn(
    sqlite: Database, tmp_path: Path
) -> None:
    async with open_channel("slack") as first, open_channel("telegram") as second:
        desk = Desk(
            sqlite,
            tmp_path,
            [first.notifier, second.notifier],
            policy=OnTerms(escalating(60)),
            delays={"telegram": timedelta(seconds=3000)},
        )
        async with desk.dispatching():
            request_id = (await desk.ask(timeout=3600)).request.request_id
            await desk.card(request_id, "slack", CardState.OPEN)
            desk.clock.advance(60)
            await desk.card(request_id, "telegram", CardState.OPEN)
            assert "level-1" in second.shown(request_id)[0]
            assert second.calls(request_id) == []
