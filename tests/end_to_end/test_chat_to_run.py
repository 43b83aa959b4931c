"""From a tap in a chat to the program's output: both servers, the chat's own API, a real sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from tests.emulators import slack as slack_emulator
from tests.emulators import telegram as telegram_emulator
from tests.end_to_end.house import open_house
from tests.notifiers.channels import Chat, Slack, Telegram, open_channel

pytestmark = pytest.mark.timeout(180)
ANNA, STRANGER = 4711, 666


def settings_of(chat: Chat) -> dict[str, str]:
    if isinstance(chat, Slack):
        return {
            "HITL_SLACK__BOT_TOKEN": slack_emulator.BOT_TOKEN,
            "HITL_SLACK__APP_TOKEN": slack_emulator.APP_TOKEN,
            "HITL_SLACK__CHANNEL": slack_emulator.CHANNEL,
            "HITL_SLACK__API_URL": chat.service.api_url,
        }
    assert isinstance(chat, Telegram)
    return {
        "HITL_TELEGRAM__BOT_TOKEN": telegram_emulator.TOKEN,
        "HITL_TELEGRAM__CHAT_ID": str(chat.service.chat_id),
        "HITL_TELEGRAM__API_URL": chat.service.origin,
    }


@pytest.mark.parametrize("channel", ["slack", "telegram"])
async def test_a_tap_lets_the_program_run_and_closes_the_card(channel: str, tmp_path: Path) -> None:
    async with open_channel(channel) as opened:
        chat = cast("Chat", opened)
        async with open_house(tmp_path, settings=settings_of(chat)) as house:
            await house.command("hitl", "people", "link", channel, chat.account(ANNA), "ada", "--json")
            async with house.agent() as asking, house.agent("executor") as running:
                asked = await asking.ask()
                request_id = asked["request_id"]
                await chat.wait_for_card(request_id)
                await chat.press(request_id, "Approve", STRANGER)
                assert (await asking.call("check_status", request_id=request_id))["status"] == "PENDING"
                await chat.press(request_id, "Approve", ANNA)
                answered = await asking.call("check_status", request_id=request_id, wait_seconds=20)
                assert [each["approver"] for each in answered["decisions"]] == ["ada"]
                assert answered["decisions"][0]["channel"] == channel
                done = await running.call(
                    "execute", capability_token=answered["capability_token"], wait_seconds=30
                )
                assert done["stdout"] == "42\n"
            await chat.service.until(lambda: chat.buttons(request_id) == [])  # type: ignore[attr-defined]
            assert "Approved by ada" in chat.shown(request_id)[-1]
