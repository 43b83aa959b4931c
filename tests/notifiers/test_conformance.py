"""The one suite that console, Slack and Telegram all pass."""

from __future__ import annotations

from tests.notifiers.conformance import NotifierConformance


class TestConsole(NotifierConformance):
    channel_name = "console"


class TestSlack(NotifierConformance):
    channel_name = "slack"


class TestTelegram(NotifierConformance):
    channel_name = "telegram"
