"""Errors of the notification channels: one tree, and what the dispatcher does about each."""

from __future__ import annotations


class NotifierError(Exception):
    """Base of every failure of a channel. Its text never holds a token, a password or an action's content."""


class DeliveryFailed(NotifierError):
    """The service did not answer, or failed on its side. Tried again with backoff, up to a bound."""


class ChannelBusy(NotifierError):
    """The service asked to slow down (HTTP 429). The channel pauses for as long as was asked."""

    def __init__(self, channel: str, retry_after_seconds: float) -> None:
        super().__init__(f"{channel} asked to wait {retry_after_seconds:g} s before the next call")
        self.retry_after_seconds = retry_after_seconds


class ChannelUnauthorized(NotifierError):
    """The credentials or the configured conversation are refused: somebody has to change a setting."""


class CardRefused(NotifierError):
    """The service refuses this very card; sending the same again would be refused again."""


class CardGone(NotifierError):
    """The message that held the card no longer exists or may no longer be edited."""
