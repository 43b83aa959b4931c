"""What is particular to Slack: Socket Mode, its three seconds, its dialog."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from hitl_mcp.approvals.models import RequestStatus, Verdict
from hitl_mcp.notifiers.base import CardTap, InboxAnswer
from hitl_mcp.notifiers.card_store import CardState
from hitl_mcp.notifiers.slack.api import SlackApi
from hitl_mcp.notifiers.slack.blocks import REASON_LIMIT
from hitl_mcp.notifiers.slack.interactions import Interactions
from server_kit.database.base import Database
from tests.emulators.serving import Fault
from tests.emulators.slack import CHANNEL, SlackEmulator
from tests.emulators.slack_blocks import Message
from tests.notifiers.channels import Slack, open_channel
from tests.notifiers.conformance import DeafInbox
from tests.notifiers.desk import Desk

ANNA, STRANGER = 1, 666


@pytest_asyncio.fixture
async def chat() -> AsyncIterator[Slack]:
    async with open_channel("slack") as channel:
        assert isinstance(channel, Slack)
        yield channel


@pytest_asyncio.fixture
async def slack(chat: Slack) -> SlackEmulator:
    return chat.service


@pytest_asyncio.fixture
async def desk(chat: Slack, sqlite: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(sqlite, tmp_path, [chat.notifier])
    await desk.people.add("anna", None)
    await desk.people.link("slack", chat.account(ANNA), "anna")
    async with desk.dispatching():
        yield desk


async def decided(desk: Desk, chat: Slack) -> RequestStatus:
    """Ask, press Approve, and how it ended."""
    request_id = (await desk.ask(f"print({chat.service.connections})")).request.request_id
    await desk.card(request_id, "slack", CardState.OPEN)
    await chat.press(request_id, "Approve", ANNA)
    return (await desk.ended(request_id)).request.status


class SlowInbox(DeafInbox):
    """Takes longer than Slack waits, as a database under load does."""

    def __init__(self) -> None:
        self.tapped: list[CardTap] = []
        self.go_on = asyncio.Event()

    async def tap(self, tap: CardTap) -> InboxAnswer:
        await self.go_on.wait()
        self.tapped.append(tap)
        return InboxAnswer("Approved.", decided=True)


async def test_a_recycled_connection_is_replaced_before_it_is_drained(desk: Desk, chat: Slack) -> None:
    slack = chat.service
    await slack.until(lambda: slack.sockets)
    await slack.recycle()
    await slack.until(lambda: len(slack.sockets) == 2)
    # The old connection still delivers: press on it.
    slack.sockets.reverse()
    assert await decided(desk, chat) is RequestStatus.APPROVED


async def test_a_connection_cut_without_a_word_is_opened_again(desk: Desk, chat: Slack) -> None:
    slack = chat.service
    for opened in (2, 3):
        await slack.until(lambda: slack.sockets)
        await slack.cut()
        await slack.until(lambda opened=opened: slack.connections == opened and slack.sockets)
    assert await decided(desk, chat) is RequestStatus.APPROVED


async def test_opening_a_connection_is_tried_until_it_succeeds(
    chat: Slack, sqlite: Database, tmp_path: Path
) -> None:
    slack = chat.service
    slack.fail(
        "apps.connections.open",
        Fault(500),
        Fault(429, retry_after=1),
        Fault(drop_connection=True),
        Fault(error="internal_error"),
    )
    desk = Desk(sqlite, tmp_path, [chat.notifier])
    await desk.people.add("anna", None)
    await desk.people.link("slack", chat.account(ANNA), "anna")
    async with desk.dispatching():
        assert await decided(desk, chat) is RequestStatus.APPROVED


async def test_a_press_is_acknowledged_in_time_even_when_the_decision_takes_long(chat: Slack) -> None:
    inbox = SlowInbox()
    receiving = asyncio.create_task(chat.notifier.receive(inbox))
    try:
        message = Message(CHANNEL, "1.1", "", [], {})
        delivery = await chat.service.send_action(message, "hitl_approve", "nonce", "U1")
        assert await chat.service.acknowledged(delivery) < 3
        assert inbox.tapped == []
        inbox.go_on.set()
        async with asyncio.timeout(2):
            while not inbox.tapped:  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0.01)
        assert inbox.tapped[0].verdict is Verdict.APPROVE
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


async def test_a_press_is_not_acknowledged_before_it_is_decided_when_that_is_quick(
    chat: Slack, desk: Desk
) -> None:
    request_id = (await desk.ask()).request.request_id
    card = await chat.service.card(request_id)
    await desk.card(request_id, "slack", CardState.OPEN)
    delivery = await chat.service.press(card, "Approve", chat.account(ANNA))
    await chat.service.acknowledged(delivery)
    assert (await desk.service.get(request_id)).request.status is RequestStatus.APPROVED


async def test_deny_asks_for_a_reason_and_decides_only_when_it_is_given(chat: Slack, desk: Desk) -> None:
    request_id = (await desk.ask()).request.request_id
    card = await chat.service.card(request_id)
    await desk.card(request_id, "slack", CardState.OPEN)
    await chat.service.acknowledged(await chat.service.press(card, "Deny", chat.account(ANNA)))
    view = await chat.service.view(chat.account(ANNA))
    assert (await desk.service.get(request_id)).request.status is RequestStatus.PENDING
    await chat.service.acknowledged(await chat.service.submit(view, "<!channel> too *risky*" + "y" * 900))
    record = await desk.ended(request_id)
    assert record.request.status is RequestStatus.DENIED
    reason = record.decisions[0].reason
    assert reason is not None
    assert reason.startswith("<!channel> too *risky*")
    assert len(reason) == REASON_LIMIT
    await desk.card(request_id, "slack", CardState.CLOSED)
    assert card.live() == []


async def test_a_dialog_answered_by_somebody_else_is_that_persons_press(chat: Slack, desk: Desk) -> None:
    request_id = (await desk.ask()).request.request_id
    card = await chat.service.card(request_id)
    await desk.card(request_id, "slack", CardState.OPEN)
    await chat.service.acknowledged(await chat.service.press(card, "Deny", chat.account(ANNA)))
    view = await chat.service.view(chat.account(ANNA))
    view.user = chat.account(STRANGER)
    await chat.service.acknowledged(await chat.service.submit(view, "mine now"))
    assert "not linked" in await chat.service.told(chat.account(STRANGER))
    assert (await desk.service.get(request_id)).decisions == ()


async def test_no_dialog_opens_for_who_may_not_decide(chat: Slack, desk: Desk) -> None:
    request_id = (await desk.ask()).request.request_id
    card = await chat.service.card(request_id)
    await desk.card(request_id, "slack", CardState.OPEN)
    await chat.service.acknowledged(await chat.service.press(card, "Deny", chat.account(STRANGER)))
    assert "not linked" in await chat.service.told(chat.account(STRANGER))
    assert chat.service.views == []


async def test_a_dialog_answered_after_the_end_decides_nothing(chat: Slack, desk: Desk) -> None:
    request_id = (await desk.ask()).request.request_id
    card = await chat.service.card(request_id)
    await desk.card(request_id, "slack", CardState.OPEN)
    await chat.service.acknowledged(await chat.service.press(card, "Deny", chat.account(ANNA)))
    view = await chat.service.view(chat.account(ANNA))
    await desk.service.cancel(request_id, agent="agent-1", person=None, reason=None)
    await chat.service.acknowledged(await chat.service.submit(view, "too late"))
    assert "has ended" in await chat.service.told(chat.account(ANNA))
    assert (await desk.service.get(request_id)).request.status is RequestStatus.CANCELLED


async def test_review_is_a_link_whose_press_is_acknowledged_and_does_nothing(chat: Slack, desk: Desk) -> None:
    request_id = (await desk.ask()).request.request_id
    card = await chat.service.card(request_id)
    assert str(card.buttons["Review"]["url"]).endswith(request_id)
    await chat.service.acknowledged(await chat.service.press(card, "Review", chat.account(ANNA)))
    assert (await desk.service.get(request_id)).decisions == ()
    assert chat.service.ephemeral == []


async def test_envelopes_of_other_kinds_are_acknowledged_and_ignored(chat: Slack, desk: Desk) -> None:
    for kind in ("events_api", "slash_commands"):
        envelope = {"type": kind, "payload": {"command": "/approve"}, "accepts_response_payload": True}
        await chat.service.acknowledged(await chat.service.send_envelope(envelope))


async def test_a_failure_to_decide_is_told_and_decides_nothing(chat: Slack) -> None:
    class BrokenInbox(DeafInbox):
        async def tap(self, tap: CardTap) -> InboxAnswer:
            raise RuntimeError("the secret program")

    api = SlackApi(chat._settings("xoxb-1111-2222-emulatedBotToken"))
    await Interactions(api, BrokenInbox()).handle(
        "interactive",
        {
            "type": "block_actions",
            "user": {"id": "U1"},
            "container": {"channel_id": CHANNEL},
            "actions": [{"action_id": "hitl_approve", "value": "nonce", "action_ts": "1"}],
        },
    )
    await api.aclose()
    told = await chat.service.told("U1")
    assert "nothing was decided" in told
    assert "secret" not in told


async def test_a_wrong_app_token_is_named_by_the_check(chat: Slack) -> None:
    chat.service.fail("apps.connections.open", Fault(error="invalid_auth"))
    result = await chat.notifier.check()
    assert not result.ok
    assert "HITL_SLACK__APP_TOKEN" in result.detail
