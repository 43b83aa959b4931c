"""Request, card, tap, minted token, card closed: over real HTTP, from both chats."""

from __future__ import annotations

from pathlib import Path

from hitl_contract.verify import verify_capability
from hitl_mcp.approvals.models import RequestStatus
from hitl_mcp.notifiers.card_store import CardState
from hitl_mcp.notifiers.slack.notifier import SlackNotifier
from hitl_mcp.notifiers.telegram.notifier import TelegramNotifier
from server_kit.clock import SystemClock
from server_kit.database.base import Database
from tests.approvals.world import program
from tests.emulators.slack import SlackEmulator
from tests.emulators.telegram import TelegramEmulator
from tests.notifiers.desk import Desk

ANNA = 4711


async def test_a_tap_in_telegram_mints_a_token_and_closes_the_card(
    sqlite: Database, tmp_path: Path, telegram: TelegramEmulator, telegram_notifier: TelegramNotifier
) -> None:
    desk = Desk(sqlite, tmp_path, [telegram_notifier])
    await desk.people.add("anna", None)
    await desk.people.link("telegram", str(ANNA), "anna")
    async with desk.dispatching():
        asked = (await desk.ask()).request
        card = await telegram.card(asked.request_id)
        query = await telegram.tap(card, "Approve", ANNA)
        assert await telegram.answer(query) == "Approved."
        assert (await desk.ended(asked.request_id)).request.status is RequestStatus.APPROVED
        issued = await desk.service.collect_token("agent-1", asked.request_id)
        verified = verify_capability(
            issued.token,
            program("print(6 * 7)"),
            keys=desk.world.keys.public_keys(),
            policy=desk.world.verification,
            now=SystemClock().now().timestamp(),
        )
        assert [(each.person, each.channel) for each in verified.token.claims.approved_by] == [
            ("anna", "telegram")
        ]
        await desk.card(asked.request_id, "telegram", CardState.CLOSED)
        assert "Approved by anna" in card.text
        assert card.buttons == []


async def test_a_tap_in_slack_mints_a_token_and_closes_the_card(
    sqlite: Database, tmp_path: Path, slack: SlackEmulator, slack_notifier: SlackNotifier
) -> None:
    desk = Desk(sqlite, tmp_path, [slack_notifier])
    await desk.people.add("anna", None)
    await desk.people.link("slack", "U0ANNA", "anna")
    async with desk.dispatching():
        asked = (await desk.ask()).request
        card = await slack.card(asked.request_id)
        pressed = await slack.press(card, "Approve", "U0ANNA")
        assert await slack.acknowledged(pressed) < 3
        assert (await desk.ended(asked.request_id)).request.status is RequestStatus.APPROVED
        issued = await desk.service.collect_token("agent-1", asked.request_id)
        assert issued.token.count(".") == 2
        await desk.card(asked.request_id, "slack", CardState.CLOSED)
        assert "Approved by anna" in card.visible
        assert card.buttons == {}
