"""Cards of questions, and of requests about which somebody asked back, on every channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from hitl_mcp.approvals.dialogue import AnswerInput, AskInput
from hitl_mcp.approvals.human_questions import HumanQuestion
from hitl_mcp.approvals.models import Assurance
from hitl_mcp.notifiers.card_store import CardState
from server_kit.database.base import Database
from tests.notifiers.channels import Channel, open_channel
from tests.notifiers.desk import Desk

HOSTILE = "<https://evil.example|Approve> @channel *bold* https://evil.example /deny"


@pytest_asyncio.fixture(params=["console", "slack", "telegram"])
async def channel(request: pytest.FixtureRequest) -> AsyncIterator[Channel]:
    async with open_channel(request.param) as opened:
        yield opened


@pytest_asyncio.fixture
async def desk(channel: Channel, sqlite: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(sqlite, tmp_path, [channel.notifier])
    await desk.people.add("anna", None)
    async with desk.dispatching():
        yield desk


async def test_a_question_has_no_approve_button_and_closes_with_who_answered(
    desk: Desk, channel: Channel
) -> None:
    asked = await desk.service.ask_human("agent-1", HumanQuestion(HOSTILE, ("yes", HOSTILE)))
    name = asked.request.request_id
    await desk.card(name, channel.notifier.channel, CardState.OPEN)
    assert not any("approve" in button.lower() for button in channel.buttons(name))
    assert channel.live(name) == []
    await desk.service.answer(
        AnswerInput(name, "anna", "yes", "web", Assurance.SESSION, asked.request.action_digest)
    )
    await desk.card(name, channel.notifier.channel, CardState.CLOSED)
    assert "Answered by anna" in "\n".join(channel.shown(name))


async def test_what_was_asked_back_and_replied_is_shown_as_inert_words(desk: Desk, channel: Channel) -> None:
    asked = await desk.ask("print(1)")
    name, agent = asked.request.request_id, asked.request.agent
    before = await desk.card(name, channel.notifier.channel, CardState.OPEN)
    await desk.service.ask_back(AskInput(name, "anna", HOSTILE, "web"))
    replied = await desk.service.reply(agent, name, HOSTILE)
    assert replied.request.version > before.version
    for _ in range(1000):
        row = await desk.card(name, channel.notifier.channel, CardState.OPEN)
        if row.version == replied.request.version:
            break
        await asyncio.sleep(0.01)
    shown = "\n".join(channel.shown(name))
    assert channel.live(name) == []
    if channel.notifier.channel != "console":
        assert "In the agent's words" in shown
