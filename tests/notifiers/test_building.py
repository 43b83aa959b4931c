"""Settings of the channels, and what is built of them."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from hitl_mcp.notifiers.building import build_notifiers
from hitl_mcp.notifiers.settings import ConsoleSettings, SlackSettings, TelegramSettings
from tests.emulators import slack, telegram

SLACK = {"bot_token": slack.BOT_TOKEN, "app_token": slack.APP_TOKEN, "channel": "C1"}
TELEGRAM = {"bot_token": telegram.TOKEN, "chat_id": -100}


def test_nothing_is_built_of_nothing() -> None:
    assert build_notifiers() == ()
    assert build_notifiers(console=ConsoleSettings(enabled=False)) == ()


async def test_each_configured_channel_is_built_once() -> None:
    notifiers = build_notifiers(
        console=ConsoleSettings(),
        slack=SlackSettings.model_validate(SLACK),
        telegram=TelegramSettings.model_validate(TELEGRAM),
        stream=io.StringIO(),
    )
    assert [notifier.channel for notifier in notifiers] == ["console", "slack", "telegram"]
    for notifier in notifiers:
        await notifier.aclose()


def test_slack_and_its_libraries_are_imported_only_when_configured() -> None:
    program = (
        "import sys; from hitl_mcp.notifiers.building import build_notifiers; build_notifiers();"
        "assert not {'slack_sdk', 'aiohttp'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(
    ("model", "values", "wrong"),
    [
        (SlackSettings, SLACK, {"bot_token": "xoxp-user-token-SECRET"}),
        (SlackSettings, SLACK, {"app_token": "xoxb-not-an-app-SECRET"}),
        (SlackSettings, SLACK, {"channel": ""}),
        (SlackSettings, SLACK, {"api_url": "ftp://slack.example"}),
        (SlackSettings, SLACK, {"colour": "red"}),
        (TelegramSettings, TELEGRAM, {"bot_token": "SECRET"}),
        (TelegramSettings, TELEGRAM, {"bot_token": "123:SEC/../RET"}),
        (TelegramSettings, TELEGRAM, {"chat_id": "approvals"}),
    ],
)
def test_a_wrong_setting_is_refused_by_name_and_no_secret_is_repeated(
    model: type[BaseModel], values: dict[str, Any], wrong: dict[str, Any]
) -> None:
    model.model_validate(values)
    with pytest.raises(ValidationError) as caught:
        model.model_validate({**values, **wrong})
    (problem,) = caught.value.errors()
    assert problem["loc"] == tuple(wrong)
    assert "SECRET" not in problem["msg"]


@pytest.mark.parametrize("missing", ["bot_token", "app_token", "channel"])
def test_a_half_configured_slack_is_refused(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        SlackSettings.model_validate({name: value for name, value in SLACK.items() if name != missing})


@pytest.mark.parametrize(("given", "expected"), [("-1001", -1001), (42, 42), ("@approvals", "@approvals")])
def test_a_chat_is_named_by_number_or_by_name(given: object, expected: object) -> None:
    assert TelegramSettings.model_validate({**TELEGRAM, "chat_id": given}).chat_id == expected


def test_secrets_are_hidden_when_settings_are_shown() -> None:
    shown = f"{SlackSettings.model_validate(SLACK)!r} {TelegramSettings.model_validate(TELEGRAM)!r}"
    for secret in (slack.BOT_TOKEN, slack.APP_TOKEN, telegram.TOKEN):
        assert secret not in shown
