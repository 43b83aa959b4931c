"""Questions that people ask agents about pending requests, and what they never change."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals import events
from hitl_mcp.approvals.dialogue import AskInput
from hitl_mcp.approvals.errors import (
    AlreadyEnded,
    InvalidSubmission,
    NoOpenQuestion,
    NotEligible,
    RequestNotFound,
    SealBroken,
    TooManyQuestions,
    WrongKind,
)
from hitl_mcp.approvals.human_questions import HumanQuestion
from hitl_mcp.approvals.models import RequestRecord, RequestStatus
from tests.approvals.world import World, submission, verdict
from tests.conftest import ManualClock


def asking(record: RequestRecord, question: str = "Why now?", person: str = "alice") -> AskInput:
    return AskInput(record.request.request_id, person, question, channel="web")


async def test_a_question_and_its_reply_are_kept_in_order_sealed_and_audited(world: World) -> None:
    asked = await world.service.submit("agent-1", submission())
    name = asked.request.request_id
    await world.service.ask_back(asking(asked, "Why now?"))
    await world.service.ask_back(asking(asked, "Why here?", "bob"))
    await world.service.reply("agent-1", name, "it is late")
    record = await world.service.get(name)
    assert [(each.question, each.asked_by, each.answer) for each in record.questions] == [
        ("Why now?", "alice", "it is late"),
        ("Why here?", "bob", None),
    ]
    assert all(map(world.sealer.question_holds, record.questions))
    assert await world.events_about(name) == [
        events.CREATED,
        events.ASKED_BACK,
        events.ASKED_BACK,
        events.REPLIED,
    ]
    assert await world.notifications_about(name) == ["created", "changed", "changed", "changed"]


async def test_neither_changes_digest_quorum_or_deadline(world: World) -> None:
    asked = await world.service.submit("agent-1", submission())
    await world.service.ask_back(asking(asked))
    replied = await world.service.reply("agent-1", asked.request.request_id, "because")
    for field in ("action_digest", "display_digest", "seal", "expires_at", "terms", "status", "revision"):
        assert getattr(replied.request, field) == getattr(asked.request, field), field
    assert replied.decisions == ()
    await world.service.decide(verdict(replied, "alice"))
    token = await world.service.collect_token("agent-1", asked.request.request_id)
    assert token.token_id


async def test_a_waiting_agent_is_woken_and_others_who_wait_are_not(world: World) -> None:
    asked = await world.service.submit("agent-1", submission())
    name = asked.request.request_id
    agent = asyncio.create_task(world.service.wait(name, 30, or_asked=True))
    page = asyncio.create_task(world.service.wait(name, 30))
    await world.service.get(name)
    await world.service.ask_back(asking(asked))
    async with asyncio.timeout(10):
        woken = await agent
    assert woken.open_question is not None
    assert not page.done()
    await world.service.decide(verdict(asked, "alice"))
    async with asyncio.timeout(10):
        assert (await page).request.status is RequestStatus.APPROVED


async def test_only_the_agent_that_asked_replies_and_only_to_what_is_open(world: World) -> None:
    asked = await world.service.submit("agent-1", submission())
    name = asked.request.request_id
    with pytest.raises(NoOpenQuestion):
        await world.service.reply("agent-1", name, "unasked")
    await world.service.ask_back(asking(asked))
    with pytest.raises(RequestNotFound):
        await world.service.reply("agent-2", name, "I know")
    for bad in ("", " ", "x" * 4001, "a\x00", "\ud800"):
        with pytest.raises(InvalidSubmission):
            await world.service.reply("agent-1", name, bad)
    first = await world.service.reply("agent-1", name, "because")
    assert await world.service.reply("agent-1", name, "because") == first
    with pytest.raises(NoOpenQuestion):
        await world.service.reply("agent-1", name, "and besides")


async def test_who_may_not_decide_may_not_ask(world: World) -> None:
    asked = await world.service.submit("alice", submission())
    for person in ("mallory", "alice"):
        with pytest.raises(NotEligible):
            await world.service.ask_back(asking(asked, person=person))
    question = await world.service.ask_human("agent-1", HumanQuestion("Well?"))
    with pytest.raises(WrongKind):
        await world.service.ask_back(asking(question))
    with pytest.raises(InvalidSubmission):
        await world.service.ask_back(asking(asked, " ", "bob"))
    assert (await world.service.get(asked.request.request_id)).questions == ()


async def test_there_are_ten_questions_at_most(world: World) -> None:
    asked = await world.service.submit("agent-1", submission())
    for number in range(10):
        await world.service.ask_back(asking(asked, f"{number}?"))
    with pytest.raises(TooManyQuestions):
        await world.service.ask_back(asking(asked))
    assert len((await world.service.get(asked.request.request_id)).questions) == 10


async def test_when_it_has_ended_nobody_asks_or_replies(world: World, clock: ManualClock) -> None:
    asked = await world.service.submit("agent-1", submission(timeout=60))
    await world.service.ask_back(asking(asked))
    clock.advance(60)
    with pytest.raises(AlreadyEnded):
        await world.service.reply("agent-1", asked.request.request_id, "too late")
    with pytest.raises(AlreadyEnded):
        await world.service.ask_back(asking(asked))
    record = await world.service.get(asked.request.request_id)
    assert (record.request.status, record.open_question) == (RequestStatus.TIMEOUT, None)


async def test_nobody_decides_on_words_that_were_changed_in_the_database(world: World) -> None:
    for number, (column, value) in enumerate(
        [
            ("question", "Is it safe?"),
            ("answer", "yes"),
            ("asked_by", "bob"),
            ("number", 2),
            ("channel", "cli"),
        ]
    ):
        asked = await world.service.submit("agent-1", submission(f"print({number})"))
        await world.service.ask_back(asking(asked))

        async def operation(connection: AsyncConnection, column: str = column, value: object = value) -> None:
            await connection.execute(text(f"UPDATE questions SET {column} = :value"), {"value": value})

        await world.database.write(operation)
        with pytest.raises(SealBroken):
            await world.service.decide(verdict(asked, "alice"))
