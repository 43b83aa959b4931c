from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from pydantic import SecretStr

from hitl_mcp.notifiers.settings import SlackSettings, TelegramSettings
from hitl_mcp.notifiers.slack.notifier import SlackNotifier
from hitl_mcp.notifiers.telegram.notifier import TelegramNotifier
from server_kit.database.base import Database
from server_kit.database.opening import open_database
from tests.approvals.world import create_schema
from tests.emulators import slack as slack_emulator
from tests.emulators import telegram as telegram_emulator
from tests.emulators.slack import SlackEmulator
from tests.emulators.telegram import TelegramEmulator


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[TelegramEmulator]:
    emulator = TelegramEmulator()
    await emulator.start()
    yield emulator
    await emulator.stop()


@pytest_asyncio.fixture
async def slack() -> AsyncIterator[SlackEmulator]:
    emulator = SlackEmulator()
    await emulator.start()
    yield emulator
    await emulator.stop()


def telegram_settings(emulator: TelegramEmulator, token: str = telegram_emulator.TOKEN) -> TelegramSettings:
    return TelegramSettings(bot_token=SecretStr(token), chat_id=emulator.chat_id, api_url=emulator.origin)  # type: ignore[arg-type]


def slack_settings(emulator: SlackEmulator, token: str = slack_emulator.BOT_TOKEN) -> SlackSettings:
    return SlackSettings(
        bot_token=SecretStr(token),
        app_token=SecretStr(slack_emulator.APP_TOKEN),
        channel=slack_emulator.CHANNEL,
        api_url=emulator.api_url,  # type: ignore[arg-type]
    )


@pytest_asyncio.fixture
async def telegram_notifier(telegram: TelegramEmulator) -> AsyncIterator[TelegramNotifier]:
    notifier = TelegramNotifier(telegram_settings(telegram))
    yield notifier
    await notifier.aclose()


@pytest_asyncio.fixture
async def slack_notifier(slack: SlackEmulator) -> AsyncIterator[SlackNotifier]:
    notifier = SlackNotifier(slack_settings(slack))
    yield notifier
    await notifier.aclose()


@pytest_asyncio.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[Database]:
    """An empty SQLite database with the schema."""
    opened = await open_database(sqlite_url)
    await create_schema(opened)
    yield opened
    await opened.close()
