"""What is particular to Telegram: commands, long polling, UTF-16 entities, a token in every URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from hitl_contract.display import render_action, safe_text
from hitl_mcp.approvals.models import RequestStatus, RiskLevel
from hitl_mcp.notifiers.base import InboxAnswer
from hitl_mcp.notifiers.card_store import CardState
from hitl_mcp.notifiers.telegram.messages import card_message, layout_of, parse_callback, plain_message
from server_kit.database.base import Database
from server_kit.errors import DatabaseUnavailable
from tests.approvals.world import program
from tests.emulators.serving import Fault, utf16_length
from tests.emulators.telegram import TOKEN
from tests.notifiers.channels import Telegram, open_channel
from tests.notifiers.conformance import DeafInbox
from tests.notifiers.desk import Desk
from tests.notifiers.made_cards import make_card

ANNA, STRANGER = 1, 666


@pytest_asyncio.fixture
async def chat() -> AsyncIterator[Telegram]:
    async with open_channel("telegram") as channel:
        assert isinstance(channel, Telegram)
        yield channel


@pytest_asyncio.fixture
async def desk(chat: Telegram, sqlite: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(sqlite, tmp_path, [chat.notifier])
    await desk.people.add("anna", None)
    await desk.people.link("telegram", str(ANNA), "anna")
    async with desk.dispatching():
        yield desk


async def said(chat: Telegram, text: str, user: int = ANNA, place: int | None = None) -> str:
    """The bot's answer to a command."""
    if place is not None:
        chat.service.chats[place] = "private"
    return (await chat.service.reply(await chat.service.write(text, user, place))).text


async def asked(desk: Desk, **how: object) -> str:
    request_id = (await desk.ask(**how)).request.request_id  # type: ignore[arg-type]
    await desk.card(request_id, "telegram", CardState.OPEN)
    return request_id


# Commands.


async def test_approve_by_command_decides_under_the_rules_of_the_card(chat: Telegram, desk: Desk) -> None:
    request_id = await asked(desk)
    assert await said(chat, f"/approve {request_id}") == "Approved."
    record = await desk.ended(request_id)
    assert record.request.status is RequestStatus.APPROVED
    assert record.decisions[0].action_digest == record.request.action_digest


async def test_reject_by_command_keeps_the_whole_reason(chat: Telegram, desk: Desk) -> None:
    request_id = await asked(desk)
    assert await said(chat, f"/reject@approvals_bot {request_id} not on  a Friday\nplease") == "Denied."
    assert (await desk.ended(request_id)).decisions[0].reason == "not on  a Friday\nplease"


async def test_a_command_in_a_private_chat_counts_for_the_same_person(chat: Telegram, desk: Desk) -> None:
    request_id = await asked(desk)
    assert await said(chat, f"/approve {request_id}", place=ANNA) == "Approved."


@pytest.mark.parametrize(
    "command", ["/approve {}", "/reject {} because", "/pending", "/status", "/status {}"]
)
async def test_commands_of_an_unmapped_user_tell_and_decide_nothing(
    chat: Telegram, desk: Desk, command: str
) -> None:
    request_id = await asked(desk)
    answer = await said(chat, command.format(request_id), STRANGER)
    assert "not linked" in answer
    assert "agent-1" not in answer
    assert (await desk.service.get(request_id)).decisions == ()


async def test_a_request_that_the_chat_does_not_show_whole_is_not_approved_by_command(
    chat: Telegram, desk: Desk
) -> None:
    for how in ({"risk": RiskLevel.HIGH}, {"code": "x = 1\n" * 3_000}):
        request_id = await asked(desk, **how)
        assert "review page" in await said(chat, f"/approve {request_id}")
        assert (await desk.service.get(request_id)).request.status is RequestStatus.PENDING


@pytest.mark.parametrize(
    "text",
    [
        "/approve req_unknown",
        "/approve ../../etc",
        "/approve <b>x</b>",
        "/approve " + "x" * 900,
        "/reject nope why",
    ],
)
async def test_a_command_for_no_request_says_so_inertly(chat: Telegram, desk: Desk, text: str) -> None:
    message = await chat.service.reply(await chat.service.write(text, ANNA))
    assert "no request" in message.text
    assert message.live_links() == []


@pytest.mark.parametrize("text", ["/approve", "/reject", "/help", "/start"])
async def test_an_incomplete_command_explains_the_commands(chat: Telegram, desk: Desk, text: str) -> None:
    assert "/approve ID" in await said(chat, text)


async def test_words_and_other_bots_commands_are_left_alone(chat: Telegram, desk: Desk) -> None:
    for text in ("hello", "approve req_1", "/weather Berlin"):
        await chat.service.write(text, ANNA)
    request_id = await asked(desk)
    assert "1" in await said(chat, "/status")
    assert len(chat.service.called("sendMessage")) == 2
    assert (await desk.service.get(request_id)).decisions == ()


async def test_pending_lists_what_waits_and_status_says_how_one_stands(chat: Telegram, desk: Desk) -> None:
    assert "Nothing waits" in await said(chat, "/pending")
    request_id = await asked(desk)
    listed = await said(chat, "/pending")
    assert request_id in listed
    assert "low risk" in listed
    assert "Approval needed" in await said(chat, f"/status {request_id}")
    await said(chat, f"/approve {request_id}")
    assert "Approved by anna" in await said(chat, f"/status {request_id}")
    assert "Nothing waits" in await said(chat, "/pending")


async def test_the_commands_are_announced_to_the_service(chat: Telegram, desk: Desk) -> None:
    await chat.service.until(lambda: chat.service.commands)
    assert {each["command"] for each in chat.service.commands} == {"pending", "approve", "reject", "status"}


# Long polling.


async def test_what_was_pressed_while_the_server_was_down_counts_after_its_start(
    chat: Telegram, sqlite: Database, tmp_path: Path
) -> None:
    desk = Desk(sqlite, tmp_path, [chat.notifier])
    await desk.people.add("anna", None)
    await desk.people.link("telegram", str(ANNA), "anna")
    async with desk.dispatching():
        request_id = await asked(desk)
    card = await chat.service.card(request_id)
    await chat.service.tap(card, "Approve", ANNA)
    desk = Desk(sqlite, tmp_path, [chat.notifier])
    async with desk.dispatching():
        assert (await desk.ended(request_id)).request.status is RequestStatus.APPROVED


async def test_an_update_is_confirmed_only_after_it_was_handled(chat: Telegram) -> None:
    class UnavailableAtFirst(DeafInbox):
        calls = 0

        async def pending(self, channel: str, external_user_id: str) -> InboxAnswer:
            self.calls += 1
            if self.calls < 3:
                raise DatabaseUnavailable("the database is locked")
            return InboxAnswer("fine")

    receiving = asyncio.create_task(chat.notifier.receive(UnavailableAtFirst()))
    try:
        await chat.service.write("/pending", ANNA)
        await chat.service.until(
            lambda: any(each.text == "fine" for each in chat.service.messages.values()), timeout_seconds=10
        )
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


async def test_a_second_receiver_of_the_bot_is_outlasted(chat: Telegram, desk: Desk) -> None:
    chat.service.fail(
        "getUpdates", *[Fault(409, error="Conflict: terminated by other getUpdates request")] * 3
    )
    request_id = await asked(desk)
    await chat.press(request_id, "Approve", ANNA)
    assert (await desk.ended(request_id)).request.status is RequestStatus.APPROVED


async def test_polling_outlasts_every_failure_of_the_service(chat: Telegram, desk: Desk) -> None:
    chat.service.fail(
        "getUpdates",
        Fault(502),
        Fault(429, retry_after=1),
        Fault(drop_connection=True),
        Fault(500, error="oops"),
    )
    request_id = await asked(desk)
    await chat.press(request_id, "Approve", ANNA)
    assert (await desk.ended(request_id)).request.status is RequestStatus.APPROVED


# Messages.


def test_a_review_page_without_a_dot_in_its_host_is_text_because_telegram_refuses_the_button() -> None:
    message = card_message(make_card(review_url="http://localhost:3003/requests/1"))
    assert [key["text"] for row in message.keyboard for key in row] == ["Approve", "Deny"]
    assert "http://localhost:3003/requests/1" in message.text


@given(
    code=st.text(min_size=1, max_size=3000).filter(str.strip),
    justification=st.text(max_size=1500),
    summary=st.none() | st.text(max_size=300),
)
def test_any_card_fits_and_hides_nothing_silently(code: str, justification: str, summary: str | None) -> None:
    card = replace(
        make_card(),
        justification=safe_text(justification, multiline=True),
        display=render_action(program("1")),
    )
    card = replace(card, summary=None if summary is None else safe_text(summary))
    try:
        card = replace(card, display=render_action(program(code)))
    except ValueError:
        return
    message, layout = card_message(card), layout_of(card)
    assert utf16_length(message.text) <= 4096
    units = message.text.encode("utf-16-le")
    for entity in message.entities:
        start, length = entity["offset"], entity["length"]
        assert isinstance(start, int)
        assert isinstance(length, int)
        units[start * 2 : (start + length) * 2].decode("utf-16-le")
    if layout.hidden_characters:
        assert "Approve" not in str(message.keyboard)
        assert f"{layout.hidden_characters} characters do not fit here" in message.text
    else:
        assert card.display.text in message.text


@pytest.mark.parametrize("data", ["", "a", "a:", ":x", "x:abc", "approve:abc", "a" * 64])
def test_data_that_is_no_button_of_ours_is_no_press(data: str) -> None:
    assert parse_callback(data) is None


def test_an_answer_is_cut_to_what_a_message_holds() -> None:
    assert utf16_length(plain_message("😀" * 5000).text) <= 4096


async def test_no_error_chain_leads_to_a_url_with_the_token(chat: Telegram) -> None:
    await chat.service.stop()
    with pytest.raises(Exception, match="ConnectError") as caught:
        await chat.notifier.send(make_card())
    error: BaseException | None = caught.value
    while error is not None:
        assert TOKEN not in repr(error)
        assert TOKEN not in repr(vars(error))
        error = error.__cause__


@pytest.mark.parametrize("character", ["😀", "é", "\u0301", "中", "\U0001f1e9\U0001f1ea"])
async def test_entities_are_counted_in_utf16_units(chat: Telegram, character: str) -> None:
    card = make_card(f"print('{character * 20}')", justification=character * 30)
    await chat.notifier.send(card)
    (message,) = chat.service.cards(card.request_id)
    assert message.entity_texts("pre") == [card.justification, card.display.text]
