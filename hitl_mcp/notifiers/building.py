"""Builds the channels that are configured. Called by the composition root."""

from __future__ import annotations

import sys
from typing import TextIO

from hitl_mcp.notifiers.base import Notifier
from hitl_mcp.notifiers.console import ConsoleNotifier
from hitl_mcp.notifiers.settings import ConsoleSettings, SlackSettings, TelegramSettings
from hitl_mcp.notifiers.telegram.notifier import TelegramNotifier


def build_notifiers(
    *,
    console: ConsoleSettings | None = None,
    slack: SlackSettings | None = None,
    telegram: TelegramSettings | None = None,
    stream: TextIO | None = None,
) -> tuple[Notifier, ...]:
    """One notifier per configured channel. `stream` is the console's; standard error when left out."""
    notifiers: list[Notifier] = []
    if console is not None and console.enabled:
        notifiers.append(ConsoleNotifier(stream or sys.stderr))
    if slack is not None:
        # slack-sdk and aiohttp take 300 ms to import, which a start without Slack should not pay.
        from hitl_mcp.notifiers.slack.notifier import SlackNotifier

        notifiers.append(SlackNotifier(slack))
    if telegram is not None:
        notifiers.append(TelegramNotifier(telegram))
    return tuple(notifiers)
