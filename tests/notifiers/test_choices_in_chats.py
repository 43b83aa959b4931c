"""Choices of a question are tapped in a chat like on the page: all of it shown, by the person, once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from hitl_mcp.approvals.human_questions import HumanQuestion
from hitl_mcp.approvals.models import Assurance, RequestRecord, RequestStatus
from hitl_mcp.notifiers.card_store import CardState
from server_kit.database.base import Database
from tests.notifiers.channels import Chat, Slack, open_channel
from tests.notifiers.desk import Desk

ANNA, STRANGER = 4711, 666
COLOURS = HumanQuestion("Which colour?", ("red", "dark green"))


@pytest_asyncio.fixture(params=["slack", "telegram"])
async def chat(request: pytest.FixtureRequest) -> AsyncIterator[Chat]:
    async with open_channel(request.param) as channel:
        yield cast("Chat", channel)


@pytest_asyncio.fixture
async def desk(chat: Chat, sqlite: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(sqlite, tmp_path, [chat.notifier])
    await desk.people.add("anna", None)
    await desk.people.link(chat.name, chat.account(ANNA), "anna")
    async with desk.dispatching():
        yield desk


async def asked(desk: Desk, chat: Chat, question: HumanQuestion = COLOURS) -> str:
    record = await desk.service.ask_human("agent-1", question)
    name = record.request.request_id
    await chat.wait_for_card(name)
    await desk.card(name, chat.name, CardState.OPEN)
    return name


async def tap(chat: Chat, request_id: str, choice: int, nonce: str, user: int = ANNA) -> str:
    """Deliver a tap on a choice that may not be there; what the user is told."""
    if isinstance(chat, Slack):
        card = await chat.service.card(request_id)
        told = len(chat.service.ephemeral)
        action = f"hitl_choice_{choice}"
        await chat.service.acknowledged(
            await chat.service.send_action(card, action, nonce, chat.account(user))
        )
        return "".join(str(each["text"]) for each in chat.service.ephemeral[told:])
    service = chat.service  # type: ignore[attr-defined]
    card = await service.card(request_id)
    return await service.answer(await service.send_callback(f"c{choice}:{nonce}", user, card))


def nonce_of(chat: Chat, request_id: str) -> str:
    if isinstance(chat, Slack):
        return str(chat.service.cards(request_id)[-1].buttons["Decline"]["value"])
    data: str = chat.service.cards(request_id)[-1].callback_data("Decline")  # type: ignore[attr-defined]
    return data.partition(":")[2]


async def pending(desk: Desk, request_id: str) -> RequestRecord:
    record = await desk.service.get(request_id)
    assert (record.request.status, record.answer) == (RequestStatus.PENDING, None)
    return record


async def answer_to(desk: Desk, request_id: str) -> object:
    answer = (await desk.service.get(request_id)).answer
    assert answer is not None
    return json.loads(answer.answer)


async def test_a_tapped_choice_is_the_persons_answer_and_closes_the_card(desk: Desk, chat: Chat) -> None:
    name = await asked(desk, chat)
    assert chat.buttons(name)[:2] == ["“red”", "“dark green”"]
    assert chat.live(name) == []
    assert not any("approve" in button.lower() for button in chat.buttons(name))
    await chat.press(name, "“dark green”", ANNA)
    await desk.card(name, chat.name, CardState.CLOSED)
    record = await desk.service.get(name)
    assert record.request.status is RequestStatus.ANSWERED
    assert record.answer is not None
    assert (json.loads(record.answer.answer), record.answer.person) == ("dark green", "anna")
    assert (record.answer.channel, record.answer.assurance) == (chat.name, Assurance.CHAT)
    assert chat.buttons(name) == []
    assert "Answered by anna" in chat.shown(name)[-1]
    await chat.repeat_last()
    assert (await desk.service.get(name)).answer == record.answer


async def test_a_forged_or_misplaced_choice_answers_nothing(desk: Desk, chat: Chat) -> None:
    name = await asked(desk, chat)
    own = nonce_of(chat, name)
    assert "not linked" in await tap(chat, name, 0, own, STRANGER)
    assert "not current" in await tap(chat, name, 0, "x" * 43)
    assert "no such choice" in await tap(chat, name, 2, own)
    assert "no such choice" in await tap(chat, name, 999, own)
    await chat.forge(name, own, "approve", ANNA)
    await pending(desk, name)
    action = await desk.ask("print(1)")
    await chat.wait_for_card(action.request.request_id)
    await desk.card(action.request.request_id, chat.name, CardState.OPEN)
    card = await desk.cards.of_request(action.request.request_id, chat.name)
    assert card is not None
    other = card.nonce
    await tap(chat, action.request.request_id, 0, other)
    assert (await desk.service.get(action.request.request_id)).request.status is RequestStatus.PENDING
    # The card names the question: a tap that names another card answers that one or nothing.
    await tap(chat, name, 0, other)
    await pending(desk, name)
    await tap(chat, name, 0, own)
    assert "ended" in await tap(chat, name, 1, own)
    assert await answer_to(desk, name) == "red"


async def test_long_choices_are_numbered_beside_their_whole_text(desk: Desk, chat: Chat) -> None:
    long = ("Restore the backup of last night and lose what was entered today, " * 3)[:200].strip()
    name = await asked(desk, chat, HumanQuestion("What now?", ("wait", long)))
    assert chat.buttons(name)[:2] == ["Choice 1", "Choice 2"]
    shown = "\n".join(chat.shown(name))
    assert "Choice 2" in shown
    assert shown.count(long) >= 2
    await chat.press(name, "Choice 2", ANNA)
    assert await answer_to(desk, name) == long


@pytest.mark.parametrize(
    "question",
    [
        HumanQuestion("Which?", tuple(f"number {n}" for n in range(11))),
        HumanQuestion("Which?", ("yes", "yes ")),
        HumanQuestion("Which?", ("Yes", "yes")),
        HumanQuestion("Which?", ("yes", "y\u200bes")),
        HumanQuestion("Which?" + '"' * 3900, ("yes", "no")),
        HumanQuestion("Which?", answer_schema={"type": "object", "properties": {"a": {"type": "string"}}}),
        HumanQuestion("Which?"),
    ],
    ids=[
        "too many",
        "a space",
        "a letter's case",
        "invisible",
        "more than is shown",
        "a schema",
        "free text",
    ],
)
async def test_what_a_button_cannot_stand_for_is_answered_on_the_page(
    desk: Desk, chat: Chat, question: HumanQuestion
) -> None:
    name = await asked(desk, chat, question)
    assert sorted(chat.buttons(name)) == ["Answer", "Decline"]
    assert "Answer it on the review page" in "\n".join(chat.shown(name))
    await tap(chat, name, 0, nonce_of(chat, name))
    await pending(desk, name)
